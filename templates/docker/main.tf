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

  dynamic "registry_auth" {
    for_each = var.registries

    content {
      address = registry_auth.value
    }
  }
}

# What has no default is given by `outrigger template push`: the service, a secret of this version, the images.
variable "outrigger_url" {
  description = "How workspaces reach Outrigger, such as \"https://outrigger.example.com\"."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^https?://[^/?#@]+$", var.outrigger_url))
    error_message = "Give a scheme and a host, and nothing after them, such as \"https://outrigger.example.com\"."
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

# The address of workspaces may be one that no browser reaches, so this is another.
variable "outrigger_page_url" {
  description = "Where browsers find a page /workspace/ID of each workspace, for the app outrigger; empty: there is no such app."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.outrigger_page_url == "" || can(regex("^https?://[^/?#@$[:space:]]+$", var.outrigger_page_url))
    error_message = "Give a scheme and a host, and nothing after them, such as \"https://outrigger.example.com\"."
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
    condition     = length(distinct([for image in var.executor_images : replace(image, "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "")])) == length(var.executor_images)
    error_message = "Give every image a name of its own, whatever its tag: people choose by it and keep it when its version changes."
  }
}

variable "ide_images" {
  description = "The ones of executor_images that hold an editor."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for image in var.ide_images : contains(var.executor_images, image)])
    error_message = "Name only images that executor_images offers, digest included."
  }
}

variable "ide_kinds" {
  description = "Which editors an image of ide_images holds, by the image: code-server, openvscode-server, vscode-web; the first is the default. An image that is not here holds code-server. Whoever lists vscode-web accepts the licence of Microsoft's server for everybody."
  type        = map(list(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for image in keys(var.ide_kinds) : contains(var.ide_images, image)])
    error_message = "Name only images that ide_images has, digest included."
  }

  validation {
    condition     = alltrue([for kinds in values(var.ide_kinds) : length(kinds) > 0 && length(distinct(kinds)) == length(kinds) && alltrue([for kind in kinds : contains(["code-server", "openvscode-server", "vscode-web"], kind)])])
    error_message = "List for each image at least one of code-server, openvscode-server, vscode-web, each once."
  }
}

variable "ide_port" {
  description = "Port on 127.0.0.1 of the workspace behind which the editor is; only Coder's proxy knows its path."
  type        = number
  default     = 13337
  nullable    = false

  validation {
    condition     = floor(var.ide_port) == var.ide_port && var.ide_port >= 1024 && var.ide_port <= 65535
    error_message = "Give a whole number from 1024 to 65535, such as 13337."
  }

  validation {
    condition     = !contains([4096, 3001], var.ide_port)
    error_message = "Choose another: 4096 and 3001 are OpenCode's and the bridge's in every workspace."
  }
}

variable "allowed_extensions" {
  description = "Extensions that the editor may install, \"publisher.name\" or \"publisher\"; [\"*\"] is all, [] is none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for one in var.allowed_extensions : can(regex("^([*]|[A-Za-z0-9][A-Za-z0-9-]*([.][A-Za-z0-9-]+)?)$", one))])
    error_message = "Name each by its publisher, such as \"redhat.vscode-yaml\"."
  }
}

variable "preset_images" {
  description = "The image of each preset, by its name (node, python, rust, full-stack, nix); otherwise the first image."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for image in var.preset_images : contains(var.executor_images, image)])
    error_message = "Name only images that executor_images offers, digest included."
  }
}

# What a person may choose. The service holds every build against the same bounds.
variable "allowed_images" {
  description = "How an image that a person names may begin, such as \"registry.example.com/team/\"; empty: nobody names one."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for prefix in var.allowed_images : can(regex("^[a-z0-9.:-]+/", prefix))])
    error_message = "Begin each with a registry and a slash, such as \"registry.example.com/team/\"."
  }
}

variable "allow_unpinned_images" {
  description = "Whether an image that a person names may go without its digest."
  type        = bool
  default     = false
  nullable    = false
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

variable "allowed_models" {
  description = "Models that people may choose; the first is the default. Empty: the service's own default."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(distinct(var.allowed_models)) == length(var.allowed_models)
    error_message = "List every model once."
  }
}

variable "agent_modes" {
  description = "Where the agent may run, in a container of its own or beside the person; the first is the default: sidecar, process."
  type        = list(string)
  default     = ["sidecar"]
  nullable    = false

  validation {
    condition     = length(var.agent_modes) > 0 && length(distinct(var.agent_modes)) == length(var.agent_modes) && alltrue([for one in var.agent_modes : contains(["sidecar", "process"], one)])
    error_message = "List at least one of sidecar, process, each once."
  }
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

variable "max_memory_mb" {
  description = "The most memory in MB that a person may choose."
  type        = number
  default     = 16384
  nullable    = false

  validation {
    condition     = floor(var.max_memory_mb) == var.max_memory_mb && var.max_memory_mb >= 512 && var.max_memory_mb <= 1048576
    error_message = "Give a whole number from 512 to 1048576."
  }
}

variable "max_disk_gb" {
  description = "The most disk in GB that a person may choose."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = floor(var.max_disk_gb) == var.max_disk_gb && var.max_disk_gb >= 1 && var.max_disk_gb <= 65536
    error_message = "Give a whole number from 1 to 65536."
  }
}

# How workspaces reach Coder, git and the network.
variable "wildcard_host" {
  description = "Whether Coder has a wildcard host (CODER_WILDCARD_ACCESS_URL): the editor then gets an origin of its own."
  type        = bool
  default     = false
  nullable    = false
}

variable "external_auth_id" {
  description = "Id of Coder's external authentication for git, such as \"primary-github\"; empty: none is asked for."
  type        = string
  default     = ""
  nullable    = false
}

variable "custom_ca" {
  description = "Certificates in PEM that workspaces trust beside those of their image."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.custom_ca == "" || can(regex("-----BEGIN CERTIFICATE-----", var.custom_ca))
    error_message = "Give the certificates in PEM, beginning with \"-----BEGIN CERTIFICATE-----\"."
  }
}

variable "http_proxy" {
  description = "Proxy of workspaces for http, such as \"http://proxy.example.com:3128\"."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.http_proxy == "" || can(regex("^https?://[^/?#@]+/?$", var.http_proxy))
    error_message = "Give a scheme and a host without a user name or password, such as \"http://proxy.example.com:3128\"."
  }
}

variable "https_proxy" {
  description = "Proxy of workspaces for https, such as \"http://proxy.example.com:3128\"."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.https_proxy == "" || can(regex("^https?://[^/?#@]+/?$", var.https_proxy))
    error_message = "Give a scheme and a host without a user name or password, such as \"http://proxy.example.com:3128\"."
  }
}

variable "no_proxy" {
  description = "Hosts that workspaces reach without the proxy, separated by commas."
  type        = string
  default     = ""
  nullable    = false
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

# The Docker host.
variable "docker_host" {
  description = "Address of the Docker daemon, such as \"ssh://user@host\"; empty is the one beside the provisioner."
  type        = string
  default     = ""
  nullable    = false
}

variable "registries" {
  description = "Registries that want a login, such as \"registry.example.com\". The provisioner's own is used: \"docker login\" there."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for host in var.registries : can(regex("^[a-z0-9.-]+(:[0-9]+)?$", host))])
    error_message = "Name each by its host alone, such as \"registry.example.com\" or \"registry.example.com:5000\"."
  }
}

variable "container_runtime" {
  description = "What runs the containers: a runtime that the Docker daemon knows by this name, such as \"runsc\"."
  type        = string
  default     = "runc"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]*$", var.container_runtime))
    error_message = "Give the name of a runtime of the Docker daemon, such as \"runc\" or \"sysbox-runc\"."
  }
}

variable "egress_network" {
  description = "Docker network through which the proxies of workspaces reach the outside."
  type        = string
  default     = "bridge"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_.-]*$", var.egress_network)) && !contains(["host", "none"], var.egress_network)
    error_message = "Give the name of a network of the Docker daemon, such as \"bridge\"; \"host\" is none."
  }
}

variable "disk_quota" {
  description = "Whether Docker's filesystem has project quotas (xfs with pquota), so that disks have a size."
  type        = bool
  default     = false
  nullable    = false
}

# The way out. It holds for the person as well as for the agent; docs/egress.md says what it stops.
variable "egress" {
  description = "What workspaces may reach, besides Outrigger and Coder: what is listed here, nothing more, or everything: allowlist, local-only, open."
  type        = string
  default     = "allowlist"
  nullable    = false

  validation {
    condition     = contains(["allowlist", "local-only", "open"], var.egress)
    error_message = "Choose one of allowlist, local-only, open."
  }

  validation {
    condition     = var.egress == "open" || (var.http_proxy == "" && var.https_proxy == "")
    error_message = "Workspaces have a proxy of their own, which does not go through yours. Leave http_proxy and https_proxy empty, or set egress to \"open\" and keep the list in your proxy."
  }
}

variable "egress_hosts" {
  description = "Hosts that workspaces may reach, \"example.com\", or \"*.example.com\" for what is below it, or either with \":port\"."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for host in var.egress_hosts : can(regex("^([*][.])?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?([.][a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*(:[1-9][0-9]{0,4})?$", host))])
    error_message = "Give names in lower case, such as \"git.example.com\", \"*.example.com\" or \"git.example.com:8443\"."
  }

  validation {
    condition     = alltrue([for host in var.egress_hosts : !can(regex("^[*][.][^.]*$", host))])
    error_message = "A whole top-level domain is no list. Name what is below it, such as \"*.example.com\"."
  }
}

variable "egress_presets" {
  description = "Registries that workspaces may reach: npm, pypi, crates, go, maven, rubygems, debian, ubuntu, nix, open-vsx, github, none."
  type        = list(string)
  default     = ["npm", "pypi", "crates", "go", "debian", "ubuntu", "nix"]
  nullable    = false

  validation {
    condition     = length(var.egress_presets) > 0 && length(distinct(var.egress_presets)) == length(var.egress_presets) && alltrue([for one in var.egress_presets : contains(["npm", "pypi", "crates", "go", "maven", "rubygems", "debian", "ubuntu", "nix", "open-vsx", "github", "none"], one)])
    error_message = "List at least one of npm, pypi, crates, go, maven, rubygems, debian, ubuntu, nix, open-vsx, github, none, each once."
  }
}

variable "egress_repository" {
  description = "Whether workspaces may reach the host of the repository that their owner chose."
  type        = bool
  default     = true
  nullable    = false
}

variable "egress_private_cidrs" {
  description = "Private networks in which a listed host may lie, such as \"10.0.0.0/8\"; Outrigger and Coder need not be in them."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.egress_private_cidrs : can(cidrhost(cidr, 0))])
    error_message = "Give ranges such as \"10.0.0.0/8\"."
  }
}

locals {
  images              = { for image in var.executor_images : replace(image, "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "") => image }
  editors             = flatten([for image in var.ide_images : try(var.ide_kinds[image], ["code-server"]) if replace(image, "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "") == data.coder_parameter.executor_image.value])
  ide                 = try(data.coder_parameter.ide[0].value, local.editors[0], "none")
  listed_repositories = [for text in jsondecode(try(data.coder_parameter.more_repositories[0].value, "[]")) : try(regex("^([^#\\s]+)(?:#(\\S+))?((?: +(?:name=\\S+|autoPush=(?:true|false)))*)$", text), [text, null, null])]
  has_ide             = local.ide != "none"
  executor_image      = data.coder_parameter.executor_image.value == "own" ? data.coder_parameter.own_image[0].value : local.images[data.coder_parameter.executor_image.value]
  git_ref             = try(data.coder_parameter.git_ref[0].value, "")
  more_repositories   = jsonencode([for one in local.listed_repositories : { url = one[0], branch = one[1], name = try(regex("name=(\\S+)", one[2])[0], null), autoPush = !can(regex("autoPush=false", one[2])) }])
  folder              = join("/", compact(["/workspace", try(regex("([^/:]+?)(?:\\.git)?/?$", data.coder_parameter.git_repository.value)[0], "")]))
  ide_enabled         = try(tobool(data.coder_parameter.ide_enabled[0].value), false)
  agent_mode          = try(data.coder_parameter.agent_mode[0].value, var.agent_modes[0])
  has_nix             = can(regex("\\bnix\\b", local.executor_image))
  nix_config          = try(data.coder_parameter.nix_config[0].value, "")
  worker_cpu          = local.has_ide ? max(tonumber(data.coder_parameter.cpu.value), min(tonumber(data.coder_parameter.cpu.value) + 2, var.max_cpu)) : tonumber(data.coder_parameter.cpu.value)
  worker_memory_mb    = data.coder_parameter.memory.value + (local.has_ide ? 2048 : 0)
  agent_cpu           = try(tonumber(data.coder_parameter.agent_cpu[0].value), 1)
  agent_memory_mb     = try(tonumber(data.coder_parameter.agent_memory[0].value), min(4096, var.max_memory_mb))
  bridge_environment = {
    OUTRIGGER_AGENT_DIR          = "/home/coder/.local/share/outrigger-agent"
    OUTRIGGER_AWAIT_WORKER       = "true"
    OUTRIGGER_OWNER_ID           = data.coder_workspace_owner.me.id
    OUTRIGGER_SLOTS              = var.agent_slots
    OUTRIGGER_URL                = var.outrigger_url
    OUTRIGGER_WORKSPACE_AGENT_ID = coder_agent.main.id
    OUTRIGGER_WORKSPACE_ID       = data.coder_workspace.me.id
  }
  http_proxy  = var.egress == "open" ? var.http_proxy : "http://egress:3128"
  https_proxy = var.egress == "open" ? var.https_proxy : "http://egress:3128"
  no_proxy    = var.egress == "open" ? var.no_proxy : ""
  egress_preset_hosts = {
    crates   = ["crates.io", "index.crates.io", "static.crates.io", "static.rust-lang.org"]
    debian   = ["deb.debian.org", "security.debian.org"]
    github   = ["github.com", "api.github.com", "codeload.github.com", "*.githubusercontent.com"]
    go       = ["proxy.golang.org", "sum.golang.org"]
    maven    = ["repo.maven.apache.org", "repo1.maven.org"]
    nix      = ["cache.nixos.org", "channels.nixos.org"]
    none     = []
    npm      = ["registry.npmjs.org", "registry.yarnpkg.com"]
    open-vsx = ["open-vsx.org", "*.open-vsx.org"]
    pypi     = ["pypi.org", "files.pythonhosted.org"]
    rubygems = ["rubygems.org", "index.rubygems.org"]
    ubuntu   = ["archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com"]
  }
  egress_hosts = distinct(concat(var.egress_hosts, flatten([for one in var.egress_presets : local.egress_preset_hosts[one]]), [for host in try(regex("^https?://(?:[^/?#@]*@)?([^/?#@]+)", lower(data.coder_parameter.git_repository.value)), []) : host if var.egress_repository && can(regex("^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?([.][a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*(:[1-9][0-9]{0,4})?$", host))]))
  labels = {
    "coder.owner"            = data.coder_workspace_owner.me.name
    "coder.owner_id"         = data.coder_workspace_owner.me.id
    "coder.workspace_id"     = data.coder_workspace.me.id
    "outrigger/workspace-id" = data.coder_workspace.me.id
  }
}

data "coder_workspace" "me" {}

data "coder_workspace_owner" "me" {}

# The form, in its order. Every field is bounded by a variable above; some appear only where others make sense of them.
data "coder_parameter" "executor_image" {
  name         = "executor_image"
  display_name = "Image"
  description  = "The tools that you and the agent work with. Both containers of the workspace use it."
  icon         = "/icon/container.svg"
  type         = "string"
  form_type    = "dropdown"
  default      = replace(var.executor_images[0], "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "")
  mutable      = true
  order        = 1

  dynamic "option" {
    for_each = concat([for image in var.executor_images : replace(image, "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "")], length(var.allowed_images) > 0 ? ["own"] : [])
    iterator = one

    content {
      name  = one.value == "own" ? "An image of your own" : one.value
      value = one.value
    }
  }
}

data "coder_parameter" "own_image" {
  count = data.coder_parameter.executor_image.value == "own" ? 1 : 0

  name         = "own_image"
  display_name = "Your image"
  description  = "Any image with sh, git, base64 and curl or wget, made for any user id. It needs neither Node nor OpenCode."
  icon         = "/icon/container.svg"
  type         = "string"
  form_type    = "input"
  default      = ""
  mutable      = true
  order        = 2
  styling      = "{\"placeholder\":\"registry.example.com/team/tools:1@sha256:…\"}"

  validation {
    error = "Begin with ${join(" or ", var.allowed_images)} and end with a digest, such as ${try(var.allowed_images[0], "")}tools:1@sha256:<64 hex digits>."
    regex = "^(${join("|", [for prefix in var.allowed_images : replace(prefix, "/[.+]/", "\\$0")])})[A-Za-z0-9._/:-]*${var.allow_unpinned_images ? "(@sha256:[0-9a-f]{64})?" : "@sha256:[0-9a-f]{64}"}$"
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
  order        = 3
  styling      = "{\"placeholder\":\"https://git.example.com/team/project.git\"}"

  validation {
    error = "Give an https or ssh address without a user name, password or token in it, such as \"https://git.example.com/team/project.git\"."
    regex = "^((https?://|ssh://git@)[^/@?#\\s]+/([^@?#\\s]+/)?|git@[^/:@?#\\s]+:([^@?#\\s]+/)?)[A-Za-z0-9_][A-Za-z0-9._-]*/?$|^$"
  }
}

data "coder_parameter" "git_ref" {
  count = data.coder_parameter.git_repository.value != "" ? 1 : 0

  name         = "git_ref"
  display_name = "Branch, tag or commit"
  description  = "What to check out after the clone. Leave it empty for the repository's default branch."
  icon         = "/icon/git.svg"
  type         = "string"
  form_type    = "input"
  default      = ""
  mutable      = true
  order        = 4

  validation {
    error = "Give a branch, tag or commit: letters, digits and . _ / - only, such as \"release/2\"."
    regex = "^([A-Za-z0-9_][A-Za-z0-9_./-]{0,199})?$"
  }
}

data "coder_parameter" "cpu" {
  name         = "cpu"
  display_name = "CPU cores"
  description  = "The most that your own container may use."
  icon         = "/icon/memory.svg"
  type         = "number"
  form_type    = "slider"
  default      = tostring(min(1, var.max_cpu))
  mutable      = true
  order        = 5

  validation {
    error = "Give a whole number from {min} to {max}, such as 1."
    max   = var.max_cpu
    min   = 1
  }
}

data "coder_parameter" "memory" {
  name         = "memory"
  display_name = "Memory (MB)"
  description  = "The most that your own container may use. The agent has memory of its own."
  icon         = "/icon/memory.svg"
  type         = "number"
  form_type    = "input"
  default      = tostring(min(2048, var.max_memory_mb))
  mutable      = true
  order        = 6

  validation {
    error = "Give a whole number from {min} to {max}, such as 2048."
    max   = var.max_memory_mb
    min   = 512
  }
}

data "coder_parameter" "disk" {
  count = var.disk_quota ? 1 : 0

  name         = "disk"
  display_name = "Disk (GB)"
  description  = "Room for the repository and what you and the agent build. A workspace keeps the size it was made with."
  icon         = "/icon/database.svg"
  type         = "number"
  form_type    = "slider"
  default      = tostring(min(10, var.max_disk_gb))
  mutable      = false
  order        = 7

  validation {
    error = "Give a whole number from {min} to {max}, such as 10."
    max   = var.max_disk_gb
    min   = 1
  }
}

data "coder_parameter" "ide_enabled" {
  count = contains([for image in var.ide_images : replace(image, "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "")], data.coder_parameter.executor_image.value) ? 1 : 0

  name         = "ide_enabled"
  display_name = "Editor in the browser"
  description  = "Start it with the workspace. Without it you still have terminals and SSH."
  icon         = "/icon/code.svg"
  type         = "bool"
  form_type    = "switch"
  default      = "true"
  mutable      = true
  order        = 8
}

data "coder_parameter" "ide" {
  count = length(local.editors) > 1 ? 1 : 0

  name         = "ide"
  display_name = "Which editor"
  description  = "The image holds several. Each is Visual Studio Code in the browser, on the same files."
  icon         = "/icon/code.svg"
  type         = "string"
  form_type    = "dropdown"
  default      = try(local.editors[0], "code-server")
  mutable      = true
  order        = 9

  dynamic "option" {
    for_each = local.editors
    iterator = one

    content {
      name  = one.value == "openvscode-server" ? "openvscode-server (no release since February 2026)" : one.value
      value = one.value
    }
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
  order        = 10

  dynamic "option" {
    for_each = slice(["read-only", "ask", "trusted"], 0, index(["read-only", "ask", "trusted"], var.max_profile) + 1)
    iterator = one

    content {
      name  = one.value
      value = one.value
    }
  }
}

data "coder_parameter" "model" {
  count = length(var.allowed_models) > 1 ? 1 : 0

  name         = "model"
  display_name = "Model"
  description  = "What the agent thinks with, unless a task names another."
  icon         = "/icon/opencode.svg"
  type         = "string"
  form_type    = "dropdown"
  default      = try(var.allowed_models[0], "")
  mutable      = true
  order        = 11

  dynamic "option" {
    for_each = var.allowed_models
    iterator = one

    content {
      name  = one.value
      value = one.value
    }
  }
}

data "coder_parameter" "agent_mode" {
  count = length(var.agent_modes) > 1 ? 1 : 0

  name         = "agent_mode"
  display_name = "Where the agent runs"
  description  = "sidecar keeps it away from your home folder and tokens; process shares your container with it."
  icon         = "/icon/container.svg"
  type         = "string"
  form_type    = "radio"
  default      = var.agent_modes[0]
  mutable      = true
  order        = 12

  dynamic "option" {
    for_each = var.agent_modes
    iterator = one

    content {
      name  = one.value
      value = one.value
    }
  }
}

data "coder_parameter" "nix_config" {
  count = can(regex("\\bnix\\b", data.coder_parameter.executor_image.value)) ? 1 : 0

  name         = "nix_config"
  display_name = "workspace.nix"
  description  = "Tools for you and the agent, as a Nix shell. It goes over a workspace.nix of the repository."
  icon         = "/icon/nix.svg"
  type         = "string"
  form_type    = "textarea"
  default      = ""
  mutable      = true
  order        = 13
  styling      = "{\"placeholder\":\"{ pkgs ? import <nixpkgs> {} }: pkgs.mkShell { packages = [ pkgs.nodejs ]; }\"}"
}

data "coder_parameter" "advanced" {
  name         = "advanced"
  display_name = "More choices"
  description  = "Show the size of the agent's container, how much is cloned, and further repositories."
  icon         = "/icon/tools.svg"
  type         = "bool"
  form_type    = "switch"
  default      = "false"
  mutable      = true
  order        = 14
}

data "coder_parameter" "agent_cpu" {
  count = tobool(data.coder_parameter.advanced.value) ? 1 : 0

  name         = "agent_cpu"
  display_name = "Agent's CPU cores"
  description  = "The most that the agent's container may use."
  icon         = "/icon/memory.svg"
  type         = "number"
  form_type    = "slider"
  default      = tostring(min(1, var.max_cpu))
  mutable      = true
  order        = 15

  validation {
    error = "Give a whole number from {min} to {max}, such as 1."
    max   = var.max_cpu
    min   = 1
  }
}

data "coder_parameter" "agent_memory" {
  count = tobool(data.coder_parameter.advanced.value) ? 1 : 0

  name         = "agent_memory"
  display_name = "Agent's memory (MB)"
  description  = "The most that the agent's container may use: OpenCode, and what it builds and tests."
  icon         = "/icon/memory.svg"
  type         = "number"
  form_type    = "input"
  default      = tostring(min(4096, var.max_memory_mb))
  mutable      = true
  order        = 16

  validation {
    error = "Give a whole number from {min} to {max}, such as 4096."
    max   = var.max_memory_mb
    min   = min(1024, var.max_memory_mb)
  }
}

data "coder_parameter" "more_repositories" {
  count = tobool(data.coder_parameter.advanced.value) ? 1 : 0

  name         = "more_repositories"
  display_name = "More repositories"
  description  = "Cloned beside the first one, each into a folder of its own: an address, with #branch for its branch, then name=… for its folder and autoPush=false to keep finished work local."
  icon         = "/icon/git.svg"
  type         = "list(string)"
  form_type    = "tag-select"
  default      = "[]"
  mutable      = true
  order        = 17
}

data "coder_parameter" "git_depth" {
  count = tobool(data.coder_parameter.advanced.value) ? 1 : 0

  name         = "git_depth"
  display_name = "History"
  description  = "How many commits are cloned at most; 0 is all of them. More can be fetched later."
  icon         = "/icon/git.svg"
  type         = "number"
  form_type    = "input"
  default      = "1"
  mutable      = true
  order        = 18

  validation {
    error = "Give a whole number from {min} to {max}, such as 50; 0 is all."
    max   = 1000000
    min   = 0
  }
}

data "coder_parameter" "git_submodules" {
  count = tobool(data.coder_parameter.advanced.value) ? 1 : 0

  name         = "git_submodules"
  display_name = "Submodules"
  description  = "Clone the submodules of the repositories too."
  icon         = "/icon/git.svg"
  type         = "bool"
  form_type    = "switch"
  default      = "false"
  mutable      = true
  order        = 19
}

# Each fills in an image and sizes. Coder applies the default one unasked.
data "coder_workspace_preset" "node" {
  name        = "node"
  description = "Node.js: services, command lines, front ends."
  icon        = "/icon/node.svg"
  default     = true
  parameters = {
    cpu            = tostring(min(1, var.max_cpu))
    executor_image = replace(lookup(var.preset_images, "node", var.executor_images[0]), "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "")
    memory         = tostring(min(2048, var.max_memory_mb))
  }
}

data "coder_workspace_preset" "python" {
  name        = "python"
  description = "Python with pip and venv."
  icon        = "/icon/python.svg"
  default     = false
  parameters = {
    cpu            = tostring(min(1, var.max_cpu))
    executor_image = replace(lookup(var.preset_images, "python", var.executor_images[0]), "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "")
    memory         = tostring(min(2048, var.max_memory_mb))
  }
}

data "coder_workspace_preset" "rust" {
  name        = "rust"
  description = "Rust: compiling wants cores and memory."
  icon        = "/icon/rust.svg"
  default     = false
  parameters = {
    cpu            = tostring(min(2, var.max_cpu))
    executor_image = replace(lookup(var.preset_images, "rust", var.executor_images[0]), "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "")
    memory         = tostring(min(4096, var.max_memory_mb))
  }
}

data "coder_workspace_preset" "full-stack" {
  name        = "full-stack"
  description = "Front end, back end and their tests side by side."
  icon        = "/icon/code.svg"
  default     = false
  parameters = {
    cpu            = tostring(min(2, var.max_cpu))
    executor_image = replace(lookup(var.preset_images, "full-stack", var.executor_images[0]), "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "")
    memory         = tostring(min(4096, var.max_memory_mb))
  }
}

data "coder_workspace_preset" "nix" {
  name        = "nix"
  description = "Tools from a workspace.nix of the repository."
  icon        = "/icon/nix.svg"
  default     = false
  parameters = {
    cpu            = tostring(min(2, var.max_cpu))
    executor_image = replace(lookup(var.preset_images, "nix", var.executor_images[0]), "/(:[^/:@]+)?@sha256:[0-9a-f]{64}$/", "")
    memory         = tostring(min(4096, var.max_memory_mb))
  }
}

data "coder_external_auth" "git" {
  count = var.external_auth_id == "" ? 0 : 1

  id       = var.external_auth_id
  optional = true
}

# Coder's own agent, in the worker. Git takes nothing from a repository's configuration that would run a program, since the
# coding agent writes there; for the same reason it starts in the home folder and not in the repository.
resource "coder_agent" "main" {
  os   = "linux"
  arch = var.arch
  dir  = "/home/coder"
  env = {
    GIT_AUTHOR_EMAIL       = data.coder_workspace_owner.me.email
    GIT_AUTHOR_NAME        = coalesce(data.coder_workspace_owner.me.full_name, data.coder_workspace_owner.me.name)
    GIT_COMMITTER_EMAIL    = data.coder_workspace_owner.me.email
    GIT_COMMITTER_NAME     = coalesce(data.coder_workspace_owner.me.full_name, data.coder_workspace_owner.me.name)
    GIT_CONFIG_COUNT       = "6"
    GIT_CONFIG_KEY_0       = "core.fsmonitor"
    GIT_CONFIG_KEY_1       = "core.hooksPath"
    GIT_CONFIG_KEY_2       = "protocol.ext.allow"
    GIT_CONFIG_KEY_3       = "core.pager"
    GIT_CONFIG_KEY_4       = "gpg.program"
    GIT_CONFIG_KEY_5       = "credential.helper"
    GIT_CONFIG_VALUE_0     = "false"
    GIT_CONFIG_VALUE_1     = "/dev/null"
    GIT_CONFIG_VALUE_2     = "never"
    GIT_CONFIG_VALUE_3     = "less"
    GIT_CONFIG_VALUE_4     = "gpg"
    GIT_CONFIG_VALUE_5     = ""
    GIT_DEPTH              = try(data.coder_parameter.git_depth[0].value, "1")
    GIT_RECURSE_SUBMODULES = try(data.coder_parameter.git_submodules[0].value, "false")
    PATH                   = "/tools:$PATH"
    WORKSPACE_DIR          = "/workspace"
    WORKSPACE_FOLDER       = local.folder
  }
  api_key_scope  = local.agent_mode == "process" ? "no_user_data" : "all"
  startup_script = <<-EOT
    #!/bin/sh
    # Gives an empty home the files that the image gives new users, once, and lets terminals begin in the repository.
    if [ ! -e "$HOME/.local/state/outrigger/home" ]; then
      cp -R /etc/skel/. "$HOME/" 2>/dev/null || true
      for file in .bashrc .zshrc; do
        printf '\n%s\n' 'if [ "$PWD" = "$HOME" ] && [ -d "$${WORKSPACE_FOLDER:-}" ]; then cd "$WORKSPACE_FOLDER"; fi' >> "$HOME/$file"
      done
      mkdir -p "$HOME/.local/state/outrigger"
      : > "$HOME/.local/state/outrigger/home"
    fi
  EOT

  metadata {
    display_name = "CPU"
    interval     = 10
    key          = "0_cpu_usage"
    timeout      = 5
    script       = "coder stat cpu"
  }

  metadata {
    display_name = "Memory"
    interval     = 10
    key          = "1_ram_usage"
    timeout      = 5
    script       = "coder stat mem"
  }

  metadata {
    display_name = "Agent"
    interval     = 10
    key          = "2_agent"
    timeout      = 5
    script       = "cat \"$HOME/.local/state/outrigger/facts/agent\" 2>/dev/null || echo \"-\""
  }

  metadata {
    display_name = "Git"
    interval     = 10
    key          = "3_git"
    timeout      = 5
    script       = "cat \"$HOME/.local/state/outrigger/facts/git\" 2>/dev/null || echo \"-\""
  }

  metadata {
    display_name = "Home"
    interval     = 60
    key          = "4_home_disk"
    timeout      = 5
    script       = "coder stat disk --path /home/coder"
  }

  metadata {
    display_name = "Workspace"
    interval     = 60
    key          = "5_workspace_disk"
    timeout      = 5
    script       = "coder stat disk --path /workspace"
  }
}

# The path is a capability: Coder adds it on its side, and whoever else reaches the port gets nothing without it. It is
# made of the agent's token, so it changes with each build and the coding agent's container cannot make it.
resource "coder_app" "ide" {
  count = local.has_ide ? 1 : 0

  display_name = local.ide
  slug         = "ide"
  icon         = "/icon/code.svg"
  agent_id     = coder_agent.main.id
  order        = 1
  share        = "owner"
  subdomain    = var.wildcard_host
  url          = "http://127.0.0.1:${var.ide_port}/${sha256("ide:${coder_agent.main.token}")}/?folder=${local.folder}&follow=task"

  healthcheck {
    interval  = 5
    threshold = 6
    url       = "http://127.0.0.1:${var.ide_port}/${sha256("ide:${coder_agent.main.token}")}/healthz"
  }
}

# A terminal that joins the session of the running task.
resource "coder_app" "opencode" {
  display_name = "OpenCode"
  slug         = "opencode"
  icon         = "/icon/opencode.svg"
  command      = "/tools/enter /tools/attach"
  agent_id     = coder_agent.main.id
  order        = 2
}

# A link to the page of this workspace, where the admin gave the address of one.
resource "coder_app" "outrigger" {
  count = var.outrigger_page_url == "" ? 0 : 1

  display_name = "Outrigger"
  slug         = "outrigger"
  icon         = "/icon/widgets.svg"
  agent_id     = coder_agent.main.id
  external     = true
  order        = 3
  url          = "${var.outrigger_page_url}/workspace/${data.coder_workspace.me.id}"
}

# modules/workspace/clone.sh, without its comments. What people typed arrives as base64, so nothing of it is a command.
resource "coder_script" "clone" {
  display_name       = "Clone repository"
  icon               = "/icon/git.svg"
  agent_id           = coder_agent.main.id
  run_on_start       = true
  start_blocks_login = false
  timeout            = 900
  script             = <<-EOT
    #!/bin/sh
    REPOSITORY_BASE64='${base64encode(data.coder_parameter.git_repository.value)}'
    REF_BASE64='${base64encode(local.git_ref)}'
    REPOS_JSON_BASE64='${base64encode(local.more_repositories)}'
    set -eu

    fail() {
      printf 'clone: %s\n' "$1" >&2
      exit 1
    }

    decode() {
      printf '%s' "$1" | base64 -d
    }

    number() {
      case $2 in
        '' | *[!0-9]*) fail "$1 is '$2'. Give a whole number." ;;
      esac
    }

    run=$${OUTRIGGER_RUN_DIR:-/run/outrigger}
    state=$${CLONE_STATE_DIR:-$HOME/.local/state/outrigger}
    ended=$state/clone-ended
    build=
    if [ -n "$${CODER_AGENT_TOKEN:-}" ]; then
      build=$(printf 'clone:%s' "$CODER_AGENT_TOKEN" | sha256sum | cut -c 1-64)
    fi

    has_ended_before() {
      [ -n "$build" ] && [ -f "$ended" ] && [ "$(cat "$ended")" = "$build" ]
    }

    remember_ended() {
      [ -z "$build" ] || has_ended_before || { mkdir -p "$state" && printf '%s\n' "$build" >"$ended"; }
    }

    say_ended() {
      if ! remember_ended 2>/dev/null; then
        echo "clone: $ended cannot be written, so the agent does not learn that it may begin."
      elif ! { sign=$(mktemp "$run/.cloned.XXXXXX") && mv -fT "$sign" "$run/cloned"; } 2>/dev/null; then
        echo "clone: $run cannot be written, so the agent does not learn that it may begin."
      fi
    }

    trap say_ended EXIT
    trap 'exit 143' HUP INT TERM
    workspace=$${WORKSPACE_DIR:-/workspace}
    workspace=$${workspace%/}
    tools=$${TOOLS_DIR:-/tools}
    depth=$${GIT_DEPTH:-1}
    tries=$${GIT_CLONE_RETRIES:-3}
    pause=$${GIT_CLONE_RETRY_DELAY:-5s}
    pause=$${pause%s}
    number GIT_DEPTH "$depth"
    number GIT_CLONE_RETRIES "$tries"
    number GIT_CLONE_RETRY_DELAY "$pause"
    shallow=
    if [ "$depth" -gt 0 ]; then shallow=--depth=$depth; fi

    unset GIT_TRACE GIT_TRACE_CURL GIT_TRACE_PACKET GIT_CURL_VERBOSE

    git_quietly() {
      GIT_TERMINAL_PROMPT=0 git -c credential.helper= -c core.hooksPath=/dev/null -c core.fsmonitor=false \
        -c protocol.ext.allow=never "$@"
    }

    inside() {
      case $2/ in
        "$workspace"/*) ;;
        *) fail "$1 is '$2', which the agent does not see. Give $workspace, or a folder in it." ;;
      esac
      case $${2#"$workspace"}/ in
        *[!A-Za-z0-9._/-]* | *//* | */.*) fail "$1 is '$2'. Give a plain path, such as $workspace/src." ;;
      esac
    }

    make_folder() {
      made=$workspace
      rest=$${1#"$workspace"}
      while [ -n "$rest" ]; do
        rest=$${rest#/}
        made=$made/$${rest%%/*}
        [ ! -L "$made" ] || fail "$made is a link and is not followed. Remove it and restart."
        [ -d "$made" ] || mkdir "$made"
        case $rest in */*) rest=/$${rest#*/} ;; *) rest= ;; esac
      done
    }

    link_to() {
      if [ ! -L "$2" ] && [ ! -e "$2" ]; then ln -s "$1" "$2"; fi
    }

    own_file() {
      case $2 in *[!A-Za-z0-9._/-]*) fail "$1 holds characters that a path should not have here. Rename the file." ;; esac
      real=$(readlink -f "$2") && [ -f "$real" ] && [ -r "$real" ] || fail "$1 names $2, and there is no such file to read."
      for shared in "$workspace" "$run"; do
        case $real in "$(readlink -f "$shared")"/*) fail "$1 names $2, which the agent can reach. Keep it in the home folder." ;; esac
      done
      printf '%s' "$real"
    }

    choose_ssh() {
      ssh=$${GIT_SSH_COMMAND:-ssh}
      hosts=
      case $${GIT_SSH_KEY:-} in
        '') ;;
        /*) ssh="ssh -i $(own_file GIT_SSH_KEY "$GIT_SSH_KEY") -o IdentitiesOnly=yes" || exit 1 ;;
        *) fail 'GIT_SSH_KEY is no path. A key itself does not belong into an environment, which every program here can read: put it into a file that only you can read, such as /home/coder/.ssh/id_ed25519, and name that.' ;;
      esac
      case $${GIT_SSH_KNOWN_HOSTS:-} in
        '') ;;
        /*) hosts=$(own_file GIT_SSH_KNOWN_HOSTS "$GIT_SSH_KNOWN_HOSTS") || exit 1 ;;
        *)
          mkdir -p "$state"
          hosts=$(readlink -f "$state")/known-hosts
          printf '%s\n' "$GIT_SSH_KNOWN_HOSTS" >"$hosts"
          ;;
      esac
      case $hosts in *[!A-Za-z0-9._/-]*) fail "$hosts holds characters that ssh would read otherwise. Give GIT_SSH_KNOWN_HOSTS as a path." ;; esac
      export GIT_SSH_COMMAND="$ssh -o BatchMode=yes -o StrictHostKeyChecking=yes$${hosts:+ -o UserKnownHostsFile=$hosts}"
    }

    refuse_unsafe() {
      case $is_listed$1 in
        1*[[:space:]]*) fail 'a line of the further repositories is no address. After one, #branch, name=… and autoPush=false may follow.' ;;
      esac
      case $1 in
        -*) fail 'the repository begins with a dash, which git would read as an option.' ;;
        http://*@* | https://*@*) fail 'the repository holds a user name or token. Remove everything up to the "@".' ;;
        http://*[?#]* | https://*[?#]*) fail 'the repository has a "?" or "#" in its address, where tokens are found. Remove everything from there on.' ;;
      esac
      case $2 in -*) fail 'the branch begins with a dash, which git would read as an option.' ;; esac
    }

    name_of() {
      name=$${2:-$${1%/}}
      [ -n "$2" ] || name=$${name##*[/:]}
      name=$${name%.git}
      case $name in
        '' | .* | *[!A-Za-z0-9._-]*) fail 'the repository has no usable name at its end.' ;;
      esac
    }

    check_out() {
      ref=$1
      tree=$private/tree
      git_quietly -C "$tree" checkout --quiet "$ref" -- 2>/dev/null && return
      git_quietly -C "$tree" fetch --quiet $shallow origin "refs/tags/$ref:refs/tags/$ref" 2>/dev/null &&
        git_quietly -C "$tree" checkout --quiet "$ref" -- 2>/dev/null && return
      git_quietly -C "$tree" fetch --quiet $shallow origin "$ref" 2>/dev/null &&
        git_quietly -C "$tree" checkout --quiet --detach FETCH_HEAD -- 2>/dev/null && return
      git_quietly -C "$tree" fetch --quiet --unshallow origin 2>/dev/null &&
        git_quietly -C "$tree" checkout --quiet "$ref" -- 2>/dev/null && return
      fail "there is no branch, tag or commit \"$ref\" in the repository."
    }

    advice() {
      case $1 in
        http://* | https://* | file://* | /*) printf 'If the repository is private, sign in to its host in Coder under external authentication' ;;
        *) printf 'Over SSH, add the public key of your account in Coder to the host, and give the key of the host in GIT_SSH_KNOWN_HOSTS' ;;
      esac
    }

    download() {
      try=1
      while
        rm -rf "$private/tree"
        ! git_quietly clone --quiet $shallow --no-single-branch --no-recurse-submodules -- "$1" "$private/tree"
      do
        [ "$try" -lt "$tries" ] || fail "$tries tries failed; the lines above say why. $(advice "$1"), then restart the workspace."
        echo "clone: try $try of $tries failed; trying again in $pause s."
        sleep "$pause"
        try=$((try + 1))
      done
    }

    publish() {
      incoming=$(mktemp -d "$workspace/.incoming.XXXXXX")
      cp -a "$private/tree/." "$incoming/"
      chmod 0775 "$incoming"
      mv -T "$incoming" "$1"
      incoming=
    }

    clone_one() {
      refuse_unsafe "$1" "$2"
      name_of "$1" "$3"
      target=$4/$name
      # No name holds a %, so no two targets share a mark.
      mark=$state/cloned-$(printf '%s' "$${target#"$workspace"/}" | tr / %)
      if [ -L "$target" ] || { [ -e "$target" ] && { [ ! -d "$target" ] || [ -n "$(ls -A "$target")" ]; }; }; then
        echo "clone: $target exists and is left alone."
        return
      fi
      if [ -e "$mark" ]; then
        echo "clone: $name was cloned before and then removed. To clone it again, delete $mark and restart."
        return
      fi
      if has_ended_before; then
        fail "$name is not there, and since the clones of this start ended an agent may be at work in $workspace. Restart the workspace in Coder to clone it."
      fi
      command -v git >/dev/null 2>&1 || fail 'there is no git in this image.'
      mkdir -p "$state"
      make_folder "$4"
      private=$(mktemp -d "$state/clone.XXXXXX")
      incoming=
      trap 'rm -rf "$private" $${incoming:+"$incoming"}' EXIT
      trap 'exit 143' HUP INT TERM

      echo "clone: downloading $name ..."
      download "$1"
      if [ -n "$2" ]; then check_out "$2"; fi
      if [ "$${GIT_RECURSE_SUBMODULES:-}" = true ]; then
        echo "clone: downloading the submodules of $name ..."
        git_quietly -C "$private/tree" submodule --quiet update --init --recursive $shallow
      fi
      # What nix.sh may trust in the worker is the file as the remote had it, before the agent could change it.
      if [ "$is_main" = 1 ] && [ -f "$private/tree/workspace.nix" ] && [ ! -L "$private/tree/workspace.nix" ]; then
        cp "$private/tree/workspace.nix" "$state/repository.nix"
      fi
      publish "$target"
      : >"$mark"
      echo "clone: $name is in $target."
      if [ "$is_main" = 1 ]; then
        if [ -n "$${GIT_LINK:-}" ]; then
          make_folder "$root"
          link_to "$target" "$root/$GIT_LINK"
        fi
        case $${WORKSPACE_FOLDER:-} in "$workspace"/*) [ -L "$${WORKSPACE_FOLDER%/*}" ] || link_to "$target" "$WORKSPACE_FOLDER" ;; esac
      fi
    }

    failed=0
    taken=
    is_main=0
    is_listed=0
    attempt() {
      # An address without a usable name has no target; clone_one refuses it.
      target=$(name_of "$1" "$3" 2>/dev/null && printf '%s/%s' "$4" "$name") || target=
      set +e
      (
        set -e
        case $taken in
          *"<$target>"*) [ -z "$target" ] || fail "two repositories would go to $target, so only the first is cloned. Take one of them off the list." ;;
        esac
        clone_one "$@"
      )
      status=$?
      set -e
      taken="$taken<$target>"
      if [ "$status" -ne 0 ]; then failed=1; fi
    }

    list_repositories() (
      cd /
      REPOS_JSON_BASE64=$${REPOS_JSON_BASE64:-} BUN_BE_BUN=1 "$tools/opencode" -e '
        const { REPOS_JSON_BASE64: encoded, REPOS_JSON: plain } = process.env;
        const list = JSON.parse(encoded ? Buffer.from(encoded, "base64").toString("utf8") : plain);
        const field = (value) => {
          if (value !== undefined && value !== null && typeof value !== "string") throw new TypeError();
          return value ? Buffer.from(value).toString("base64") : "-";
        };
        const lines = list.map(({ url, branch, name }) => {
          if (!url) throw new TypeError();
          return [url, branch, name].map(field).join(" ");
        });
        console.log(lines.join("\n"));' 2>/dev/null
    )

    field() {
      if [ "$1" != - ]; then decode "$1"; fi
    }

    root=$${GIT_ROOT:-$workspace}
    root=$${root%/}
    inside GIT_ROOT "$root"
    case $${GIT_LINK:-} in .* | *[!A-Za-z0-9._-]*) fail "GIT_LINK is '$GIT_LINK'. Give one plain name, such as repo." ;; esac
    main_one() {
      is_main=1
      if [ -n "$${GIT_WORKSPACE_DIR:-}" ]; then
        seen=$${GIT_WORKSPACE_DIR%/}
        inside GIT_WORKSPACE_DIR "$seen"
        [ "$seen" != "$workspace" ] || fail "GIT_WORKSPACE_DIR is the workspace itself, which holds other things too. Give a folder in it."
        attempt "$1" "$2" "$${seen##*/}" "$${seen%/*}"
      else
        attempt "$1" "$2" "$3" "$root"
      fi
      is_main=0
    }

    [ -z "$${GIT_USERNAME:-}$${GIT_PASSWORD:-}" ] ||
      echo 'clone: GIT_USERNAME and GIT_PASSWORD are not used, since every program here can read them. Sign in to the host in Coder under external authentication; for the agent, an admin stores a credential in Outrigger.'
    unset GIT_USERNAME GIT_PASSWORD
    case $${GIT_SYNC_INTERVAL:-0} in
      0) ;;
      *) echo 'clone: GIT_SYNC_INTERVAL is not used: nothing runs git unasked in a repository that an agent can write. Fetch in a terminal, or let a task fetch.' ;;
    esac
    choose_ssh

    if [ -n "$${REPOSITORY_BASE64+given}" ]; then repository=$(decode "$REPOSITORY_BASE64"); else repository=$${GIT_REPO:-$${GITHUB_REPO:-}}; fi
    if [ -n "$${REF_BASE64+given}" ]; then ref=$(decode "$REF_BASE64"); else ref=$${GIT_REF:-}; fi
    [ "$ref" != HEAD ] || ref=

    if [ -z "$repository" ] && [ -z "$${REPOS_JSON_BASE64:-}$${REPOS_JSON:-}" ]; then
      echo 'clone: no repository was chosen; the workspace begins empty.'
      exit 0
    fi

    main=none
    if [ -n "$repository" ]; then
      main_one "$repository" "$ref" ''
    else
      main=$${MAIN_REPO_NAME:-}
    fi

    if [ -n "$${REPOS_JSON_BASE64:-}$${REPOS_JSON:-}" ]; then
      lines=$(list_repositories) || fail 'REPOS_JSON is not a list of {"url", "name", "branch"}.'
      index=0
      is_listed=1
      while read -r url branch given; do
        [ -n "$url" ] || continue
        url=$(decode "$url")
        given=$(field "$given")
        branch=$(field "$branch")
        [ "$branch" != HEAD ] || branch=
        put=attempt
        if [ "$main" != none ]; then
          name=$(name_of "$url" "$given" 2>/dev/null && printf '%s' "$name") || name=
          if [ -n "$main" ]; then
            [ "$name" != "$main" ] || put=main_one
          elif [ "$index" = "$${MAIN_REPO_INDEX:-0}" ]; then
            put=main_one
          fi
        fi
        "$put" "$url" "$branch" "$given" "$root/repos"
        index=$((index + 1))
      done <<LINES
    $lines
    LINES
    fi
    exit "$failed"
  EOT
}

# modules/workspace/nix.sh, without its comments.
resource "coder_script" "nix" {
  count = local.has_nix ? 1 : 0

  display_name       = "workspace.nix"
  icon               = "/icon/nix.svg"
  agent_id           = coder_agent.main.id
  run_on_start       = true
  start_blocks_login = false
  timeout            = 3600
  script             = <<-EOT
    #!/bin/sh
    NIX_CONFIG_BASE64='${base64encode(local.nix_config)}'
    FOLDER_BASE64='${base64encode(local.folder)}'
    set -eu
    unset NIX_CONFIG

    say() {
      printf 'nix: %s\n' "$1"
    }

    workspace=$${WORKSPACE_DIR:-/workspace}
    state=$${NIX_STATE_DIR:-$HOME/.local/state/outrigger}
    tools=$${TOOLS_DIR:-/tools}
    folder=$(printf '%s' "$${FOLDER_BASE64:-}" | base64 -d)
    theirs=$folder/workspace.nix
    kept=$state/repository.nix
    used=$state/workspace.nix

    hand_over() {
      [ -n "$${OUTRIGGER_NIX_DIR:-}" ] || return 0
      told=$OUTRIGGER_NIX_DIR/var/outrigger
      { mkdir -p "$told" && cp "$1" "$told/.new" && mv -f "$told/.new" "$told/environment.json"; } 2>/dev/null ||
        say "$told cannot be written, so the agent has none of these tools."
    }

    finish() {
      [ -z "$scratch" ] || rm -rf "$scratch"
      [ -e "$${OUTRIGGER_NIX_DIR:-/}/var/outrigger/environment.json" ] || hand_over /dev/null
    }

    give_up() {
      rm -f "$state/nix-env"
      say "$1"
      exit 0
    }

    have_clones_ended() {
      [ -n "$${CODER_AGENT_TOKEN:-}" ] && [ -f "$state/clone-ended" ] &&
        [ "$(cat "$state/clone-ended")" = "$(printf 'clone:%s' "$CODER_AGENT_TOKEN" | sha256sum | cut -c 1-64)" ]
    }

    wait_for_clone() {
      left=$${NIX_WAIT_SECONDS:-900}
      until [ -e "$state/cloned-$${folder##*/}" ] || [ -e "$folder" ] || have_clones_ended || [ "$left" -le 0 ]; do
        sleep 1
        left=$((left - 1))
      done
    }

    choose() {
      if [ -n "$${NIX_CONFIG_BASE64:-}" ]; then
        printf '%s' "$NIX_CONFIG_BASE64" | base64 -d >"$used.new"
        mv -f "$used.new" "$used"
        origin='the parameter nix_config'
        return
      fi
      if [ -n "$folder" ] && [ "$folder" != "$workspace" ]; then wait_for_clone; fi
      origin="the repository's workspace.nix"
      # The agent may put a FIFO in its place meanwhile.
      if [ -f "$theirs" ] && [ ! -L "$theirs" ] && ! timeout 10 cmp -s "$theirs" "$kept"; then
        say "the workspace.nix in $folder is not the one that was cloned, and the agent may have written it. To use it, read it, then: cp $theirs $kept"
      fi
      [ -f "$kept" ] || return 1
      cp "$kept" "$used"
    }

    as_shown='
      const { closeSync, fchmodSync, openSync, readFileSync, renameSync, unlinkSync, writeFileSync } = require("node:fs");
      const folder = "/proc/self/fd/0/";
      const copy = folder + ".nix." + crypto.randomUUID();
      const file = openSync(copy, "wx", 0o644);
      try {
        fchmodSync(file, 0o644);
        writeFileSync(file, readFileSync(process.env.SHOWN_TEXT));
        closeSync(file);
        renameSync(copy, folder + process.env.SHOWN_NAME);
      } catch (error) {
        unlinkSync(copy);
        throw error;
      }
    '

    publish() (
      mkdir -p "$workspace/.outrigger" &&
        expected=$(cd "$workspace" && pwd -P)/.outrigger &&
        cd -P "$workspace/.outrigger" && [ "$(pwd -P)" = "$expected" ] &&
        { cd / && SHOWN_TEXT=$1 SHOWN_NAME=$2 BUN_BE_BUN=1 timeout 60 "$tools/opencode" -e "$as_shown"; } <.
    ) 2>/dev/null

    show() {
      shown=$workspace/.outrigger/workspace.nix
      if ! publish "$used" workspace.nix; then
        say "$workspace/.outrigger is no folder that can be written, so the text is only in $used."
        shown=$used
      fi
    }

    warn_of_old_parts() {
      for part in $(grep -v '^[[:space:]]*#' "$used" | grep -o -E 'nodejs[-_](4|6|8|9|1[0-9])(_x)?([^0-9A-Za-z_]|$)' | tr -d -c 'a-z0-9_\n-' | sort -u); do
        say "warning: $part is at its end of life and gets no more fixes. Use nodejs_22 or newer."
      done
    }

    as_shell_lines='
      const { WORKSPACE_NIX: text, WORKSPACE_NIX_FILE: file } = process.env;
      const { variables } = JSON.parse(await Bun.stdin.text());
      const kept = /^(HOME|USER|LOGNAME|SHELL|TERM|TZ|PWD|OLDPWD|SHLVL|LANG|TMP|TMPDIR|TEMP|TEMPDIR|ENV|SHELLOPTS|BASHOPTS|PS[0-4]|PROMPT_COMMAND|IFS|shellHook|[A-Z_]*SSL_CERT_FILE|NIX_(CONFIG|BUILD_TOP|LOG_FD|REMOTE|PATH)|NODE_OPTIONS|(BASH|LD|GIT|SSH|CODER|OUTRIGGER|BUN|OPENCODE|WORKSPACE|TOOLS)_.*|.*_(proxy|PROXY))$/;
      const quoted = (value) => "\u0027" + value.replaceAll("\u0027", "\u0027\\\u0027\u0027") + "\u0027";
      const path = (variables.PATH?.value ?? "").split(":").filter((folder) => folder.startsWith("/"));
      if (path.length === 0) throw new Error("no PATH");
      const lines = [
        "[ -d " + quoted(path[0]) + " ] || return 0",
        "case \":$PATH:\" in *:" + quoted(path.join(":")) + ":*) ;; *) PATH=\"$${TOOLS_DIR:-/tools}\":" + quoted(path.join(":")) + ":$PATH ;; esac",
        "export PATH WORKSPACE_NIX=" + quoted(text) + " WORKSPACE_NIX_FILE=" + quoted(file),
      ];
      const told = { WORKSPACE_NIX: text, WORKSPACE_NIX_FILE: file };
      for (const [name, { type, value }] of Object.entries(variables)) {
        if (type !== "exported" || name === "PATH" || kept.test(name) || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) continue;
        told[name] = value;
        lines.push("export " + name + "=" + quoted(value));
      }
      await Bun.write(process.env.TOLD, JSON.stringify({ path, variables: told }));
      console.log(lines.join("\n"));
    '

    reason() {
      sed -n 's/^[[:space:]]*error: *//p' "$1" | grep . | tail -n 1 | tr -d '[:cntrl:]' | cut -c 1-300 | sed 's/[;:. ]*$//'
    }

    compute() {
      scratch=$(mktemp -d "$state/nix.XXXXXX")
      if ! nix --extra-experimental-features nix-command print-dev-env --json --file "$used" \
        >"$scratch/answer" 2>"$scratch/errors" </dev/null; then
        why=$(reason "$scratch/errors")
        give_up "$origin cannot be used: $${why:-Nix gave no reason}. The workspace starts without it."
      fi
      # The runtime obeys settings of the folder it is started in.
      if ! (cd / && WORKSPACE_NIX=$(cat "$used") WORKSPACE_NIX_FILE=$shown TOLD=$scratch/told BUN_BE_BUN=1 "$tools/opencode" -e "$as_shell_lines") \
        <"$scratch/answer" >"$scratch/nix-env" 2>/dev/null; then
        give_up "$origin was computed, but Nix's answer could not be read. The workspace starts without it."
      fi
      mv -f "$scratch/nix-env" "$state/nix-env"
      hand_over "$scratch/told"
    }

    tell_shells() {
      [ ! -e "$state/nix-shells" ] || return 0
      for file in .profile .bashrc .zshenv; do
        # shellcheck disable=SC2016
        printf '\n[ ! -r "$HOME/.local/state/outrigger/nix-env" ] || . "$HOME/.local/state/outrigger/nix-env"\n' >>"$HOME/$file"
      done
      : >"$state/nix-shells"
    }

    mkdir -p "$state"
    scratch=
    [ -z "$${OUTRIGGER_NIX_DIR:-}" ] || rm -f "$OUTRIGGER_NIX_DIR/var/outrigger/environment.json" || true
    trap finish EXIT
    trap 'exit 143' INT TERM
    if ! command -v nix >/dev/null 2>&1; then
      [ -n "$${NIX_CONFIG_BASE64:-}" ] || exit 0
      give_up 'there is no nix in this image, so nix_config is not used. Choose an image that has it.'
    fi
    choose || give_up 'there is no workspace.nix; the workspace is as its image made it.'
    show
    warn_of_old_parts
    say "computing the environment of $origin ..."
    compute
    tell_shells
    say "the environment of $origin is in force in every new shell."
  EOT
}

# Runs the editor on a socket, guards its port, and tells Coder what the agent does. OpenCode's runtime runs it.
resource "coder_script" "helper" {
  display_name       = "Editor and status"
  icon               = "/icon/code.svg"
  agent_id           = coder_agent.main.id
  run_on_start       = true
  start_blocks_login = false
  script             = <<-EOT
    #!/bin/sh
    cd / || exit 1
    log="$HOME/.local/state/outrigger/helper.log"
    mkdir -p "$(dirname "$log")"
    export BUN_BE_BUN=1
    setsid sh -c 'until "$@"; do sleep 5; done' helper /tools/enter /tools/opencode /tools/helper.js serve >"$log" 2>&1 </dev/null &
    echo "helper: started; it writes to $log"
  EOT
}

resource "coder_script" "helper-stop" {
  display_name = "Close the editor"
  icon         = "/icon/code.svg"
  agent_id     = coder_agent.main.id
  run_on_stop  = true
  timeout      = 60
  script       = <<-EOT
    #!/bin/sh
    cd / || exit 1
    BUN_BE_BUN=1 exec /tools/enter /tools/opencode /tools/helper.js stop
  EOT
}

# Only with agent_mode = "process": the bridge beside the person, in the worker.
resource "coder_script" "bridge" {
  count = local.agent_mode == "process" ? data.coder_workspace.me.start_count : 0

  display_name       = "Agent"
  icon               = "/icon/opencode.svg"
  agent_id           = coder_agent.main.id
  run_on_start       = true
  start_blocks_login = false
  script             = <<-EOT
    #!/bin/sh
    cd / || exit 1
    log="$HOME/.local/state/outrigger/bridge.log"
    mkdir -p "$(dirname "$log")"
    export BUN_BE_BUN=1
    setsid sh -c 'until "$@"; do sleep 5; done' bridge /tools/enter /tools/opencode /tools/bridge.js >"$log" 2>&1 </dev/null &
    echo "bridge: started; it writes to $log"
  EOT
}

resource "coder_env" "bridge" {
  for_each = { for name, value in local.bridge_environment : name => value if local.agent_mode == "process" }

  name     = each.key
  agent_id = coder_agent.main.id
  value    = each.value
}

# What the service knows this build by, as in the sidecar: a hash over the secret of this version and the ids of
# workspace, owner and build. The secret itself reaches no container.
resource "coder_env" "bridge-proof" {
  count = local.agent_mode == "process" ? data.coder_workspace.me.start_count : 0

  name     = "OUTRIGGER_PROOF"
  agent_id = coder_agent.main.id
  value    = "${split("_", var.outrigger_secret)[1]}.${sha256("${var.outrigger_secret}:${sha256("${var.outrigger_secret}:${data.coder_workspace.me.id}:${data.coder_workspace_owner.me.id}:${coder_agent.main.id}")}")}"
}

# Kept until the workspace is deleted, whatever a later version of this template says.
resource "docker_volume" "home" {
  name   = "coder-${data.coder_workspace.me.id}-home"
  driver = "local"

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name_at_creation" = data.coder_workspace.me.name, "outrigger/volume" = "home" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  lifecycle {
    ignore_changes = all
  }
}

resource "docker_volume" "workspace" {
  name        = "coder-${data.coder_workspace.me.id}-workspace"
  driver      = "local"
  driver_opts = var.disk_quota ? { size = "${data.coder_parameter.disk[0].value}G" } : null

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name_at_creation" = data.coder_workspace.me.name, "outrigger/volume" = "workspace" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  lifecycle {
    ignore_changes = all
  }
}

resource "docker_volume" "agent" {
  name   = "coder-${data.coder_workspace.me.id}-agent"
  driver = "local"

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name_at_creation" = data.coder_workspace.me.name, "outrigger/volume" = "agent" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  lifecycle {
    ignore_changes = all
  }
}

resource "docker_volume" "tools" {
  name        = "coder-${data.coder_workspace.me.id}-tools"
  driver      = "local"
  driver_opts = var.disk_quota ? { size = "512M" } : null

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name_at_creation" = data.coder_workspace.me.name, "outrigger/volume" = "tools" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  lifecycle {
    ignore_changes = all
  }
}

resource "docker_volume" "custom-ca" {
  name   = "coder-${data.coder_workspace.me.id}-custom-ca"
  driver = "local"

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name_at_creation" = data.coder_workspace.me.name, "outrigger/volume" = "custom-ca" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  lifecycle {
    ignore_changes = all
  }
}

resource "docker_volume" "nix" {
  name   = "coder-${data.coder_workspace.me.id}-nix"
  driver = "local"

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name_at_creation" = data.coder_workspace.me.name, "outrigger/volume" = "nix" })

    content {
      label = labels.key
      value = labels.value
    }
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

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name_at_creation" = data.coder_workspace.me.name, "outrigger/volume" = "run" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  lifecycle {
    ignore_changes = all
  }
}

# A network of this workspace alone: no other workspace is in it, and no port is published. Unless egress is open it
# leads nowhere but to the proxy; not even the host has an address in it.
resource "docker_network" "workspace" {
  count = data.coder_workspace.me.start_count

  name     = "coder-${data.coder_workspace.me.id}"
  driver   = "bridge"
  internal = var.egress != "open"
  options  = var.egress != "open" ? { "com.docker.network.bridge.inhibit_ipv4" = "true" } : {}

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name" = data.coder_workspace.me.name, "outrigger/container" = "net" })

    content {
      label = labels.key
      value = labels.value
    }
  }
}

# Owns the network namespace and the hostname. Worker and agent join it instead of each other, so that one of
# them can restart without cutting off the other.
resource "docker_container" "net" {
  count = data.coder_workspace.me.start_count

  name          = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}.net"
  image         = var.opencode_image
  hostname      = data.coder_workspace.me.name
  entrypoint    = ["sleep", "infinity"]
  env           = ["WORKSPACE_DIR=/workspace"]
  user          = "1000:0"
  cpus          = "0.25"
  dns           = var.egress != "open" ? ["192.0.2.1"] : null
  init          = true
  memory        = 64
  memory_swap   = 64
  privileged    = false
  read_only     = true
  restart       = "no"
  security_opts = ["no-new-privileges:true"]

  capabilities {
    drop = ["ALL"]
  }

  host {
    host = "host.docker.internal"
    ip   = "host-gateway"
  }

  networks_advanced {
    name = docker_network.workspace[0].name
  }

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name" = data.coder_workspace.me.name, "outrigger/container" = "net" })

    content {
      label = labels.key
      value = labels.value
    }
  }
}

# Fills /tools and gives empty volumes their owner, then ends. It has no network, and the others wait for it.
resource "docker_container" "opencode-init" {
  count = data.coder_workspace.me.start_count

  name        = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}.opencode-init"
  image       = var.opencode_image
  entrypoint  = ["/opt/outrigger/init.sh"]
  working_dir = "/"
  env = [
    "TOOLS_DIR=/tools",
    "WORKSPACE_DIR=/workspace",
    "OUTRIGGER_CUSTOM_CA_BASE64=${base64encode(var.custom_ca)}",
  ]
  user          = "1000:0"
  attach        = true
  cpus          = "1"
  logs          = true
  memory        = 256
  memory_swap   = 256
  must_run      = false
  network_mode  = "none"
  privileged    = false
  read_only     = true
  restart       = "no"
  security_opts = ["no-new-privileges:true"]

  capabilities {
    drop = ["ALL"]
  }

  mounts {
    source = docker_volume.tools.name
    type   = "volume"
    target = "/tools"
  }

  mounts {
    source = docker_volume.custom-ca.name
    type   = "volume"
    target = "/etc/ssl/certs/custom-ca"
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

  mounts {
    source = docker_volume.nix.name
    type   = "volume"
    target = local.has_nix ? "/nix" : "/var/lib/outrigger-nix"
  }

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name" = data.coder_workspace.me.name, "outrigger/container" = "opencode-init" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  lifecycle {
    postcondition {
      condition     = self.exit_code == 0
      error_message = "The opencode-init container failed, so /tools is not filled. Its logs say why."
    }
  }
}

# The one door of the workspace, in its network and in one that leads out. It passes on what the list allows, by name.
resource "docker_container" "egress" {
  count = var.egress != "open" ? data.coder_workspace.me.start_count : 0

  name        = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}.egress"
  image       = var.executor_images[0]
  entrypoint  = ["/tools/enter", "/tools/opencode", "/tools/egress.js"]
  working_dir = "/"
  env = [
    "BUN_BE_BUN=1",
    "TOOLS_DIR=/tools",
    "WORKSPACE_DIR=/workspace",
    "CUSTOM_CA_CERT_PATH=/etc/ssl/certs/custom-ca/tls.crt",
    "OUTRIGGER_EGRESS=${var.egress}",
    "OUTRIGGER_EGRESS_HOSTS=${join(",", local.egress_hosts)}",
    "OUTRIGGER_EGRESS_PRIVATE=${join(",", var.egress_private_cidrs)}",
    "OUTRIGGER_URL=${var.outrigger_url}",
    "OUTRIGGER_CODER_URL=${replace(data.coder_workspace.me.access_url, "/localhost|127\\.0\\.0\\.1/", "host.docker.internal")}",
    "OUTRIGGER_WORKSPACE_ID=${data.coder_workspace.me.id}",
    "OUTRIGGER_WORKSPACE_AGENT_ID=${coder_agent.main.id}",
    "OUTRIGGER_EGRESS_PROOF=${split("_", var.outrigger_secret)[1]}.${sha256("${var.outrigger_secret}:${sha256("${var.outrigger_secret}:${data.coder_workspace.me.id}:${data.coder_workspace_owner.me.id}:egress:${coder_agent.main.id}")}")}",
  ]
  user                  = "1000:0"
  cpus                  = "0.5"
  destroy_grace_seconds = 10
  memory                = 256
  memory_swap           = 256
  privileged            = false
  read_only             = true
  restart               = "no"
  runtime               = var.container_runtime
  security_opts         = ["no-new-privileges:true"]
  stop_timeout          = 10
  tmpfs = {
    "/tmp" = "rw,exec,nosuid,nodev,size=1g,mode=1777"
  }

  capabilities {
    drop = ["ALL"]
  }

  host {
    host = "host.docker.internal"
    ip   = "host-gateway"
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
    source    = docker_volume.custom-ca.name
    type      = "volume"
    read_only = true
    target    = "/etc/ssl/certs/custom-ca"

    volume_options {
      no_copy = true
    }
  }

  networks_advanced {
    name    = docker_network.workspace[0].name
    aliases = ["egress"]
  }

  networks_advanced {
    name = var.egress_network
  }

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name" = data.coder_workspace.me.name, "outrigger/container" = "egress" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  depends_on = [docker_container.opencode-init]
}

# The person's: Coder's agent, terminals, the editor. Only here are the home folder and the agent's token.
resource "docker_container" "worker" {
  count = data.coder_workspace.me.start_count

  name  = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}"
  image = local.executor_image
  entrypoint = [
    "/tools/enter",
    "sh",
    "-c",
    replace(coder_agent.main.init_script, "/localhost|127\\.0\\.0\\.1/", "host.docker.internal"),
  ]
  working_dir = "/workspace"
  env = [
    "WORKSPACE_DIR=/workspace",
    "WORKSPACE_PATH=/workspace",
    "TOOLS_DIR=/tools",
    "OPENCODE_BIN=opencode",
    "OUTRIGGER_NIX_DIR=${local.has_nix ? "/nix" : ""}",
    "WORKSPACE_ID=${data.coder_workspace.me.id}",
    "USER_ID=${data.coder_workspace_owner.me.id}",
    "GIT_REPO=${data.coder_parameter.git_repository.value}",
    "GITHUB_REPO=${data.coder_parameter.git_repository.value}",
    "GIT_REF=${coalesce(local.git_ref, "HEAD")}",
    "REPOS_JSON=${local.more_repositories}",
    "CUSTOM_CA_CERT_PATH=/etc/ssl/certs/custom-ca/tls.crt",
    "HTTP_PROXY=${local.http_proxy}",
    "HTTPS_PROXY=${local.https_proxy}",
    "NO_PROXY=${local.no_proxy}",
    "HOME=/home/coder",
    "OUTRIGGER_IDE=${local.ide}",
    "OUTRIGGER_IDE_ENABLED=${local.ide_enabled}",
    "OUTRIGGER_IDE_PORT=${var.ide_port}",
    "OUTRIGGER_IDE_BASE_PATH=${var.wildcard_host ? "" : "/@${data.coder_workspace_owner.me.name}/${data.coder_workspace.me.name}.main/apps/ide"}",
    "OUTRIGGER_ALLOWED_EXTENSIONS=${join(",", var.allowed_extensions)}",
    "CODER_AGENT_PPROF_ADDRESS=192.0.2.1:1",
    "CODER_AGENT_DEBUG_ADDRESS=192.0.2.1:1",
    "CODER_AGENT_PROMETHEUS_ADDRESS=192.0.2.1:1",
    "CODER_AGENT_EXP_MCP_CONFIG_FILES=/home/coder/.mcp.json",
    "CODER_AGENT_EXP_SKILLS_DIRS=/home/coder/.coder/skills",
    "CODER_AGENT_DEVCONTAINERS_ENABLE=false",
    "OUTRIGGER_EGRESS_PROXIED=${var.egress == "open" ? "" : "true"}",
    "CODER_AGENT_TOKEN=${coder_agent.main.token}",
    "OUTRIGGER_HARNESS_KEY=${sha256("harness:${coder_agent.main.token}")}",
  ]
  user                  = "1000:0"
  cpus                  = tostring(local.worker_cpu)
  destroy_grace_seconds = 300
  init                  = true
  memory                = local.worker_memory_mb
  memory_swap           = local.worker_memory_mb
  network_mode          = "container:${docker_container.net[0].id}"
  privileged            = false
  restart               = "no"
  runtime               = var.container_runtime
  security_opts         = ["no-new-privileges:true"]
  stop_timeout          = 300

  capabilities {
    drop = ["ALL"]
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
    source    = docker_volume.custom-ca.name
    type      = "volume"
    read_only = true
    target    = "/etc/ssl/certs/custom-ca"

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

  mounts {
    source = docker_volume.nix.name
    type   = "volume"
    target = local.has_nix ? "/nix" : "/var/lib/outrigger-nix"

    volume_options {
      no_copy = true
    }
  }

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name" = data.coder_workspace.me.name, "outrigger/container" = "worker" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  depends_on = [docker_container.opencode-init, docker_container.egress]
}

# The agent's: bridge and OpenCode in the worker's image and network, without its home, processes and token.
resource "docker_container" "opencode" {
  count = local.agent_mode == "sidecar" ? data.coder_workspace.me.start_count : 0

  name        = "coder-${data.coder_workspace_owner.me.name}-${lower(data.coder_workspace.me.name)}.opencode"
  image       = local.executor_image
  entrypoint  = ["/tools/enter", "/tools/opencode", "/tools/bridge.js"]
  working_dir = "/"
  env = [
    "BUN_BE_BUN=1",
    "WORKSPACE_DIR=/workspace",
    "WORKSPACE_PATH=/workspace",
    "TOOLS_DIR=/tools",
    "OPENCODE_BIN=opencode",
    "OUTRIGGER_NIX_DIR=${local.has_nix ? "/nix" : ""}",
    "WORKSPACE_ID=${data.coder_workspace.me.id}",
    "USER_ID=${data.coder_workspace_owner.me.id}",
    "GIT_REPO=${data.coder_parameter.git_repository.value}",
    "GITHUB_REPO=${data.coder_parameter.git_repository.value}",
    "GIT_REF=${coalesce(local.git_ref, "HEAD")}",
    "REPOS_JSON=${local.more_repositories}",
    "CUSTOM_CA_CERT_PATH=/etc/ssl/certs/custom-ca/tls.crt",
    "HTTP_PROXY=${local.http_proxy}",
    "HTTPS_PROXY=${local.https_proxy}",
    "NO_PROXY=${local.no_proxy}",
    "OUTRIGGER_URL=${var.outrigger_url}",
    "OUTRIGGER_WORKSPACE_ID=${data.coder_workspace.me.id}",
    "OUTRIGGER_OWNER_ID=${data.coder_workspace_owner.me.id}",
    "OUTRIGGER_WORKSPACE_AGENT_ID=${coder_agent.main.id}",
    "OUTRIGGER_SLOTS=${var.agent_slots}",
    "OUTRIGGER_AWAIT_WORKER=true",
    "HOME=/var/lib/outrigger-agent",
    "OUTRIGGER_AGENT_DIR=/var/lib/outrigger-agent",
    "OUTRIGGER_EGRESS_PROXIED=${var.egress == "open" ? "" : "true"}",
    "OUTRIGGER_PROOF=${split("_", var.outrigger_secret)[1]}.${sha256("${var.outrigger_secret}:${sha256("${var.outrigger_secret}:${data.coder_workspace.me.id}:${data.coder_workspace_owner.me.id}:${coder_agent.main.id}")}")}",
    "OUTRIGGER_HARNESS_KEY=${sha256("harness:${coder_agent.main.token}")}",
  ]
  user                  = "1000:0"
  cpus                  = tostring(local.agent_cpu)
  destroy_grace_seconds = 30
  memory                = local.agent_memory_mb
  memory_swap           = local.agent_memory_mb
  network_mode          = "container:${docker_container.net[0].id}"
  privileged            = false
  read_only             = true
  restart               = "no"
  runtime               = var.container_runtime
  security_opts         = ["no-new-privileges:true"]
  stop_timeout          = 30
  tmpfs = {
    "/tmp" = "rw,exec,nosuid,nodev,size=1g,mode=1777"
  }

  capabilities {
    drop = ["ALL"]
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
    source    = docker_volume.custom-ca.name
    type      = "volume"
    read_only = true
    target    = "/etc/ssl/certs/custom-ca"

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

  mounts {
    source    = docker_volume.nix.name
    type      = "volume"
    read_only = true
    target    = local.has_nix ? "/nix" : "/var/lib/outrigger-nix"

    volume_options {
      no_copy = true
    }
  }

  dynamic "labels" {
    for_each = merge(local.labels, { "coder.workspace_name" = data.coder_workspace.me.name, "outrigger/container" = "opencode" })

    content {
      label = labels.key
      value = labels.value
    }
  }

  depends_on = [docker_container.opencode-init, docker_container.egress]
}

# What Coder shows of the workspace; everybody who may see it reads this.
resource "coder_metadata" "worker" {
  count = data.coder_workspace.me.start_count

  resource_id = docker_container.worker[0].id

  item {
    key   = "image"
    value = local.executor_image
  }

  item {
    key   = "cpu"
    value = "${local.worker_cpu} cores"
  }

  item {
    key   = "memory"
    value = "${local.worker_memory_mb} MB"
  }

  item {
    key   = "disk"
    value = var.disk_quota ? "${data.coder_parameter.disk[0].value} GB" : "not limited"
  }

  item {
    key   = "runtime"
    value = var.container_runtime
  }

  item {
    key   = "permission_profile"
    value = data.coder_parameter.permission_profile.value
  }
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

resource "coder_metadata" "egress" {
  count = var.egress != "open" ? data.coder_workspace.me.start_count : 0

  hide        = true
  resource_id = docker_container.egress[0].id
}
