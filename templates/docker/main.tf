terraform {
  required_version = ">= 1.11"

  required_providers {
    coder = {
      source  = "coder/coder"
      version = "~> 2.16"
    }
    docker = {
      source  = "kreuzwerker/docker"
      version = "~> 3.6"
    }
  }
}

provider "coder" {}

provider "docker" {
  host = var.docker_host == "" ? null : var.docker_host
}

variable "agent_slots" {
  description = "How many attempts may run at once in one workspace."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = floor(var.agent_slots) == var.agent_slots && var.agent_slots >= 1 && var.agent_slots <= 4
    error_message = "Give a whole number from 1 to 4."
  }
}

variable "arch" {
  description = "Architecture of the machine that runs the workspaces: amd64, arm64."
  type        = string
  default     = "amd64"
  nullable    = false

  validation {
    condition     = contains(["amd64", "arm64"], var.arch)
    error_message = "Choose one of amd64, arm64."
  }
}

variable "docker_host" {
  description = "Address of the Docker daemon, such as \"ssh://user@host\"; empty is the one beside the provisioner."
  type        = string
  default     = ""
}

variable "executor_images" {
  description = "Images that people may choose for their workspace, each pinned by digest; the first is the default."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.executor_images) > 0
    error_message = "Offer at least one image."
  }

  validation {
    condition     = alltrue([for image in var.executor_images : can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Pin every image by digest, such as \"registry.example.com/base:1@sha256:<64 hex digits>\"."
  }

  validation {
    condition     = length(distinct([for image in var.executor_images : split("@", image)[0]])) == length(var.executor_images)
    error_message = "Give every image a name or tag of its own: people choose by it."
  }
}

variable "max_cpu" {
  description = "The most CPU cores that a person may choose."
  type        = number
  default     = 8
  nullable    = false

  validation {
    condition     = floor(var.max_cpu) == var.max_cpu && var.max_cpu >= 1 && var.max_cpu <= 256
    error_message = "Give a whole number from 1 to 256."
  }
}

variable "max_memory_gib" {
  description = "The most memory in GiB that a person may choose."
  type        = number
  default     = 16
  nullable    = false

  validation {
    condition     = floor(var.max_memory_gib) == var.max_memory_gib && var.max_memory_gib >= 1 && var.max_memory_gib <= 1024
    error_message = "Give a whole number from 1 to 1024."
  }
}

variable "max_profile" {
  description = "The most that an agent may be allowed to do without asking: read-only, ask, trusted."
  type        = string
  default     = "ask"
  nullable    = false

  validation {
    condition     = contains(["read-only", "ask", "trusted"], var.max_profile)
    error_message = "Choose one of read-only, ask, trusted."
  }
}

variable "opencode_image" {
  description = "Outrigger's own image, pinned by digest. It brings OpenCode and the bridge into the workspace."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.opencode_image))
    error_message = "Pin the image by digest, such as \"registry.example.com/base:1@sha256:<64 hex digits>\"."
  }
}

variable "outrigger_secret" {
  description = "Secret of this template version, minted by \"outrigger template push\" or \"outrigger template secret\"."
  type        = string
  nullable    = false
  sensitive   = true

  validation {
    condition     = can(regex("^ors_[0-9A-Za-z-]+_[0-9A-Za-z_-]{43}$", var.outrigger_secret))
    error_message = "This is no template secret. Make one with \"outrigger template secret NAME\"."
  }
}

variable "outrigger_url" {
  description = "How workspaces and browsers reach Outrigger, such as \"https://outrigger.example.com\"."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^https?://[^/?#@]+$", var.outrigger_url))
    error_message = "Give a scheme and a host, and nothing after them, such as \"https://outrigger.example.com\"."
  }
}

data "coder_parameter" "cpu" {
  name         = "cpu"
  display_name = "CPU cores"
  description  = "Upper limit of CPU cores, for you and for the agent each."
  icon         = "/icon/memory.svg"
  type         = "number"
  form_type    = "slider"
  default      = tostring(min(2, var.max_cpu))
  mutable      = true
  order        = 4

  validation {
    max = var.max_cpu
    min = 1
  }
}

data "coder_parameter" "executor_image" {
  name         = "executor_image"
  display_name = "Image"
  description  = "The tools that you and the agent work with. Both containers of the workspace use it."
  icon         = "/icon/container.svg"
  type         = "string"
  form_type    = "dropdown"
  default      = var.executor_images[0]
  mutable      = true
  order        = 1

  dynamic "option" {
    for_each = var.executor_images
    iterator = image

    content {
      name  = split("@", image.value)[0]
      value = image.value
    }
  }
}

data "coder_parameter" "git_ref" {
  name         = "git_ref"
  display_name = "Branch, tag or commit"
  description  = "What to check out after the clone. Leave it empty for the repository's default branch."
  icon         = "/icon/git.svg"
  type         = "string"
  form_type    = "input"
  default      = ""
  mutable      = true
  order        = 3

  validation {
    error = "Give a branch, tag or commit: letters, digits and . _ / - only."
    regex = "^([A-Za-z0-9_][A-Za-z0-9_./-]{0,199})?$"
  }
}

data "coder_parameter" "git_repository" {
  name         = "git_repository"
  display_name = "Repository"
  description  = "Cloned into /workspace at the first start. Leave it empty to begin with an empty folder."
  icon         = "/icon/git.svg"
  type         = "string"
  form_type    = "input"
  default      = ""
  mutable      = true
  order        = 2
  styling      = "{\"placeholder\":\"https://git.example.com/team/project.git\"}"

  validation {
    error = "Give an https or ssh address without a user name, password or token in it."
    regex = "^(https?://[^/@\\s]+/[^@\\s]+|ssh://git@[^/@\\s]+/[^@\\s]+|git@[^/:@\\s]+:[^@\\s]+)?$"
  }
}

data "coder_parameter" "memory" {
  name         = "memory"
  display_name = "Memory (GiB)"
  description  = "Upper limit of memory for your own container. The agent has 4 GiB of its own."
  icon         = "/icon/memory.svg"
  type         = "number"
  form_type    = "slider"
  default      = tostring(min(4, var.max_memory_gib))
  mutable      = true
  order        = 5

  validation {
    max = var.max_memory_gib
    min = 1
  }
}

data "coder_parameter" "permission_profile" {
  name         = "permission_profile"
  display_name = "What the agent may do without asking"
  description  = "read-only looks; ask also edits files of the repository and asks for everything else; trusted does all."
  icon         = "/icon/lock.svg"
  type         = "string"
  form_type    = "radio"
  default      = var.max_profile == "read-only" ? "read-only" : "ask"
  mutable      = true
  order        = 6

  dynamic "option" {
    for_each = slice(["read-only", "ask", "trusted"], 0, index(["read-only", "ask", "trusted"], var.max_profile) + 1)
    iterator = profile

    content {
      name  = profile.value
      value = profile.value
    }
  }
}

data "coder_workspace" "me" {}

data "coder_workspace_owner" "me" {}

resource "coder_agent" "main" {
  api_key_scope = "all"
  arch          = var.arch
  env = {
    GIT_AUTHOR_EMAIL    = data.coder_workspace_owner.me.email
    GIT_AUTHOR_NAME     = coalesce(data.coder_workspace_owner.me.full_name, data.coder_workspace_owner.me.name)
    GIT_COMMITTER_EMAIL = data.coder_workspace_owner.me.email
    GIT_COMMITTER_NAME  = coalesce(data.coder_workspace_owner.me.full_name, data.coder_workspace_owner.me.name)
    GIT_CONFIG_COUNT    = "3"
    GIT_CONFIG_KEY_0    = "core.fsmonitor"
    GIT_CONFIG_KEY_1    = "core.hooksPath"
    GIT_CONFIG_KEY_2    = "protocol.ext.allow"
    GIT_CONFIG_VALUE_0  = "false"
    GIT_CONFIG_VALUE_1  = "/dev/null"
    GIT_CONFIG_VALUE_2  = "never"
    PATH                = "/tools:$PATH"
    WORKSPACE_DIR       = "/workspace"
  }
  os             = "linux"
  startup_script = <<-EOT
    #!/bin/sh
    # Gives an empty home the files that the image gives new users, once.
    if [ ! -e "$HOME/.local/state/outrigger/home" ]; then
      cp -R /etc/skel/. "$HOME/" 2>/dev/null || true
      mkdir -p "$HOME/.local/state/outrigger"
      : > "$HOME/.local/state/outrigger/home"
    fi
  EOT

  metadata {
    display_name = "CPU"
    interval     = 10
    key          = "0_cpu_usage"
    script       = "coder stat cpu"
    timeout      = 1
  }

  metadata {
    display_name = "Memory"
    interval     = 10
    key          = "1_ram_usage"
    script       = "coder stat mem"
    timeout      = 1
  }

  metadata {
    display_name = "Home"
    interval     = 60
    key          = "3_home_disk"
    script       = "coder stat disk --path /home/coder"
    timeout      = 1
  }

  metadata {
    display_name = "Workspace"
    interval     = 60
    key          = "4_workspace_disk"
    script       = "coder stat disk --path /workspace"
    timeout      = 1
  }
}

resource "coder_app" "opencode" {
  display_name = "OpenCode"
  icon         = "/icon/opencode.svg"
  agent_id     = coder_agent.main.id
  command      = "/tools/attach"
  order        = 1
  slug         = "opencode"
}

resource "coder_metadata" "net" {
  count = data.coder_workspace.me.start_count

  hide        = true
  resource_id = docker_container.net[0].id
}

resource "coder_metadata" "opencode-init" {
  count = data.coder_workspace.me.start_count

  hide        = true
  resource_id = docker_container.opencode-init[0].id
}

resource "coder_metadata" "worker" {
  count = data.coder_workspace.me.start_count

  resource_id = docker_container.worker[0].id

  item {
    key   = "image"
    value = data.coder_parameter.executor_image.value
  }

  item {
    key   = "cpu"
    value = "${data.coder_parameter.cpu.value} cores"
  }

  item {
    key   = "memory"
    value = "${data.coder_parameter.memory.value} GiB"
  }

  item {
    key   = "disk"
    value = "not limited (Docker volumes have no size)"
  }

  item {
    key   = "permission_profile"
    value = data.coder_parameter.permission_profile.value
  }
}

resource "coder_script" "clone" {
  display_name       = "Clone repository"
  icon               = "/icon/git.svg"
  agent_id           = coder_agent.main.id
  run_on_start       = true
  script             = <<-EOT
    #!/usr/bin/env bash
    REPOSITORY_BASE64='${base64encode(data.coder_parameter.git_repository.value)}'
    REF_BASE64='${base64encode(data.coder_parameter.git_ref.value)}'
    set -euo pipefail

    fail() {
      printf 'clone: %s\n' "$1" >&2
      exit 1
    }

    repository=$(printf '%s' "$${REPOSITORY_BASE64:-}" | base64 -d)
    ref=$(printf '%s' "$${REF_BASE64:-}" | base64 -d)
    workspace=$${WORKSPACE_DIR:-/workspace}
    state=$${CLONE_STATE_DIR:-$HOME/.local/state/outrigger}
    pause=$${CLONE_RETRY_SECONDS:-5}

    if [[ -z $repository ]]; then
      echo 'clone: no repository was chosen; the workspace begins empty.'
      exit 0
    fi

    case $repository in
      -*) fail 'the repository begins with a dash, which git would read as an option.' ;;
      http://*@* | https://*@*) fail 'the repository holds a user name or token. Remove everything up to the "@".' ;;
    esac
    case $ref in -*) fail 'the branch begins with a dash, which git would read as an option.' ;; esac

    name=$${repository%/}
    name=$${name##*[/:]}
    name=$${name%.git}
    case $name in
      '' | . | .. | .* | *[!A-Za-z0-9._-]*) fail 'the repository has no usable name at its end.' ;;
    esac

    target=$workspace/$name
    mark=$state/cloned-$name
    if [[ -e $target || -L $target ]]; then
      echo "clone: $target exists and is left alone."
      exit 0
    fi
    if [[ -e $mark ]]; then
      echo "clone: $name was cloned before and then removed. To clone it again, delete $mark and restart."
      exit 0
    fi

    command -v git >/dev/null 2>&1 || fail 'there is no git in this image.'
    mkdir -p "$state"
    private=$(mktemp -d "$state/clone.XXXXXX")
    incoming=
    trap 'rm -rf "$private" $${incoming:+"$incoming"}' EXIT

    git_quietly() {
      GIT_TERMINAL_PROMPT=0 git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c protocol.ext.allow=never "$@"
    }

    for try in 1 2 3; do
      rm -rf "$private/tree"
      if git_quietly clone --no-recurse-submodules -- "$repository" "$private/tree"; then break; fi
      if [[ $try == 3 ]]; then fail 'three tries failed; the lines above say why.'; fi
      echo "clone: try $try failed; trying again in $pause s."
      sleep "$pause"
      pause=$((pause * 2))
    done

    if [[ -n $ref ]]; then
      git_quietly -C "$private/tree" checkout "$ref" -- || fail "there is no branch, tag or commit \"$ref\" in the repository."
    fi

    incoming=$(mktemp -d "$workspace/.incoming.XXXXXX")
    cp -a "$private/tree/." "$incoming/"
    mv -T "$incoming" "$target"
    incoming=
    chmod 0775 "$target"
    : >"$mark"
    echo "clone: $name is in $target."
  EOT
  start_blocks_login = false
  timeout            = 900
}

resource "docker_container" "net" {
  count = data.coder_workspace.me.start_count

  name          = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}.net"
  cpus          = "0.25"
  entrypoint    = ["sleep", "infinity"]
  env           = ["WORKSPACE_DIR=/workspace"]
  hostname      = data.coder_workspace.me.name
  image         = var.opencode_image
  init          = true
  memory        = 64
  memory_swap   = 64
  privileged    = false
  read_only     = true
  restart       = "no"
  security_opts = ["no-new-privileges:true"]
  user          = "1000:0"

  capabilities {
    drop = ["ALL"]
  }

  host {
    host = "host.docker.internal"
    ip   = "host-gateway"
  }

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/container"
    value = "net"
  }

  networks_advanced {
    name = docker_network.workspace[0].name
  }
}

resource "docker_container" "opencode" {
  count = data.coder_workspace.me.start_count

  name                  = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}.opencode"
  cpus                  = data.coder_parameter.cpu.value
  destroy_grace_seconds = 30
  entrypoint            = ["sh", "-c", "export PATH=\"/tools:$PATH\"; exec /tools/opencode /tools/bridge.js"]
  env = [
    "BUN_BE_BUN=1",
    "OPENCODE_BIN=opencode",
    "HOME=/var/lib/outrigger-agent",
    "OUTRIGGER_URL=${var.outrigger_url}",
    "OUTRIGGER_PROOF=${split("_", var.outrigger_secret)[1]}.${sha256("${var.outrigger_secret}:${sha256("${var.outrigger_secret}:${data.coder_workspace.me.id}:${data.coder_workspace_owner.me.id}:${coder_agent.main.id}")}")}",
    "OUTRIGGER_WORKSPACE_ID=${data.coder_workspace.me.id}",
    "OUTRIGGER_OWNER_ID=${data.coder_workspace_owner.me.id}",
    "OUTRIGGER_WORKSPACE_AGENT_ID=${coder_agent.main.id}",
    "OUTRIGGER_HARNESS_KEY=${sha256("harness:${coder_agent.main.token}")}",
    "OUTRIGGER_SLOTS=${var.agent_slots}",
    "WORKSPACE_DIR=/workspace",
    "OUTRIGGER_AGENT_DIR=/var/lib/outrigger-agent",
    "TOOLS_DIR=/tools",
  ]
  image         = data.coder_parameter.executor_image.value
  memory        = 4096
  memory_swap   = 4096
  network_mode  = "container:${docker_container.net[0].id}"
  privileged    = false
  read_only     = true
  restart       = "no"
  security_opts = ["no-new-privileges:true"]
  stop_timeout  = 30
  tmpfs = {
    "/tmp" = "rw,exec,nosuid,nodev,size=1g,mode=1777"
  }
  user        = "1000:0"
  working_dir = "/"

  capabilities {
    drop = ["ALL"]
  }

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/container"
    value = "opencode"
  }

  mounts {
    source = docker_volume.workspace.name
    type   = "volume"
    target = "/workspace"

    volume_options {
      no_copy = true
    }
  }

  mounts {
    source = docker_volume.agent.name
    type   = "volume"
    target = "/var/lib/outrigger-agent"

    volume_options {
      no_copy = true
    }
  }

  mounts {
    source    = docker_volume.tools.name
    type      = "volume"
    read_only = true
    target    = "/tools"

    volume_options {
      no_copy = true
    }
  }

  mounts {
    source = docker_volume.run.name
    type   = "volume"
    target = "/run/outrigger"

    volume_options {
      no_copy = true
    }
  }

  depends_on = [docker_container.opencode-init]
}

resource "docker_container" "opencode-init" {
  count = data.coder_workspace.me.start_count

  name          = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}.opencode-init"
  attach        = true
  cpus          = "1"
  entrypoint    = ["/opt/outrigger/init.sh"]
  env           = ["TOOLS_DIR=/tools", "WORKSPACE_DIR=/workspace"]
  image         = var.opencode_image
  logs          = true
  memory        = 256
  memory_swap   = 256
  must_run      = false
  network_mode  = "none"
  privileged    = false
  read_only     = true
  restart       = "no"
  security_opts = ["no-new-privileges:true"]
  user          = "1000:0"

  capabilities {
    drop = ["ALL"]
  }

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/container"
    value = "opencode-init"
  }

  mounts {
    source = docker_volume.tools.name
    type   = "volume"
    target = "/tools"
  }

  mounts {
    source = docker_volume.home.name
    type   = "volume"
    target = "/home/coder"
  }

  mounts {
    source = docker_volume.workspace.name
    type   = "volume"
    target = "/workspace"
  }

  mounts {
    source = docker_volume.agent.name
    type   = "volume"
    target = "/var/lib/outrigger-agent"
  }

  lifecycle {
    postcondition {
      condition     = self.exit_code == 0
      error_message = "The opencode-init container failed, so /tools is not filled. Its logs say why."
    }
  }
}

resource "docker_container" "worker" {
  count = data.coder_workspace.me.start_count

  name                  = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}"
  cpus                  = data.coder_parameter.cpu.value
  destroy_grace_seconds = 300
  entrypoint = [
    "sh",
    "-c",
    replace(coder_agent.main.init_script, "/localhost|127\\.0\\.0\\.1/", "host.docker.internal"),
  ]
  env = [
    "CODER_AGENT_TOKEN=${coder_agent.main.token}",
    "OUTRIGGER_HARNESS_KEY=${sha256("harness:${coder_agent.main.token}")}",
    "WORKSPACE_DIR=/workspace",
    "TOOLS_DIR=/tools",
    "HOME=/home/coder",
    "OPENCODE_BIN=opencode",
    "CODER_AGENT_PPROF_ADDRESS=192.0.2.1:1",
    "CODER_AGENT_DEBUG_ADDRESS=192.0.2.1:1",
    "CODER_AGENT_PROMETHEUS_ADDRESS=192.0.2.1:1",
  ]
  image         = data.coder_parameter.executor_image.value
  init          = true
  memory        = data.coder_parameter.memory.value * 1024
  memory_swap   = data.coder_parameter.memory.value * 1024
  network_mode  = "container:${docker_container.net[0].id}"
  privileged    = false
  restart       = "no"
  security_opts = ["no-new-privileges:true"]
  stop_timeout  = 300
  user          = "1000:0"
  working_dir   = "/workspace"

  capabilities {
    drop = ["ALL"]
  }

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/container"
    value = "worker"
  }

  mounts {
    source = docker_volume.home.name
    type   = "volume"
    target = "/home/coder"

    volume_options {
      no_copy = true
    }
  }

  mounts {
    source = docker_volume.workspace.name
    type   = "volume"
    target = "/workspace"

    volume_options {
      no_copy = true
    }
  }

  mounts {
    source    = docker_volume.tools.name
    type      = "volume"
    read_only = true
    target    = "/tools"

    volume_options {
      no_copy = true
    }
  }

  mounts {
    source = docker_volume.run.name
    type   = "volume"
    target = "/run/outrigger"

    volume_options {
      no_copy = true
    }
  }

  depends_on = [docker_container.opencode-init]
}

resource "docker_network" "workspace" {
  count = data.coder_workspace.me.start_count

  name   = "coder-${data.coder_workspace.me.id}"
  driver = "bridge"

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/container"
    value = "net"
  }
}

resource "docker_volume" "agent" {
  name   = "coder-${data.coder_workspace.me.id}-agent"
  driver = "local"

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name_at_creation"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/volume"
    value = "agent"
  }

  lifecycle {
    ignore_changes = all
  }
}

resource "docker_volume" "home" {
  name   = "coder-${data.coder_workspace.me.id}-home"
  driver = "local"

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name_at_creation"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/volume"
    value = "home"
  }

  lifecycle {
    ignore_changes = all
  }
}

resource "docker_volume" "run" {
  name   = "coder-${data.coder_workspace.me.id}-run"
  driver = "local"
  driver_opts = {
    device = "tmpfs"
    o      = "size=4m,uid=1000,gid=0,mode=0770,nosuid,nodev,noexec"
    type   = "tmpfs"
  }

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name_at_creation"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/volume"
    value = "run"
  }

  lifecycle {
    ignore_changes = all
  }
}

resource "docker_volume" "tools" {
  name   = "coder-${data.coder_workspace.me.id}-tools"
  driver = "local"

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name_at_creation"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/volume"
    value = "tools"
  }

  lifecycle {
    ignore_changes = all
  }
}

resource "docker_volume" "workspace" {
  name   = "coder-${data.coder_workspace.me.id}-workspace"
  driver = "local"

  labels {
    label = "coder.owner"
    value = data.coder_workspace_owner.me.name
  }

  labels {
    label = "coder.owner_id"
    value = data.coder_workspace_owner.me.id
  }

  labels {
    label = "coder.workspace_id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "coder.workspace_name_at_creation"
    value = data.coder_workspace.me.name
  }

  labels {
    label = "outrigger/workspace-id"
    value = data.coder_workspace.me.id
  }

  labels {
    label = "outrigger/volume"
    value = "workspace"
  }

  lifecycle {
    ignore_changes = all
  }
}
