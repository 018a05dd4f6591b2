# The template "docker": what an owner may choose.
#
# test/templates/terraform-test.test.ts runs it, with the variables of given.auto.tfvars.json. Coder's provider is not mocked:
# what nobody chose has the form's default, and a run overrides what an owner chose.
mock_provider "docker" {}

run "offers_the_presets_node_first" {
  command = plan

  assert {
    condition = {
      for one in [
        data.coder_workspace_preset.node, data.coder_workspace_preset.python, data.coder_workspace_preset.rust,
        data.coder_workspace_preset.full-stack, data.coder_workspace_preset.nix,
      ] : one.name => "${one.parameters["cpu"]} ${one.parameters["memory"]}"
      } == {
      node       = "1 2048"
      python     = "1 2048"
      rust       = "2 4096"
      full-stack = "2 4096"
      nix        = "2 4096"
    }
    error_message = "A preset has another size."
  }

  assert {
    condition = data.coder_workspace_preset.node.default && !anytrue([
      data.coder_workspace_preset.python.default, data.coder_workspace_preset.rust.default,
      data.coder_workspace_preset.full-stack.default, data.coder_workspace_preset.nix.default,
    ])
    error_message = "Exactly the preset node must be the default."
  }

  assert {
    condition = (
      data.coder_workspace_preset.node.parameters["cpu"] == data.coder_parameter.cpu.value &&
      data.coder_workspace_preset.node.parameters["memory"] == data.coder_parameter.memory.value &&
      data.coder_workspace_preset.node.parameters["executor_image"] == data.coder_parameter.executor_image.value
    )
    error_message = "The default preset must equal the form's defaults: Coder applies it over what was typed."
  }
}

run "builds_a_workspace_from_a_large_preset" {
  command = plan

  variables {
    preset_images = {
      rust = "registry.example.com/devbox:2@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    }
  }

  # What Coder sends of the preset "rust".
  override_data {
    target = data.coder_parameter.cpu
    values = { value = "2" }
  }
  override_data {
    target = data.coder_parameter.memory
    values = { value = "4096" }
  }
  override_data {
    target = data.coder_parameter.executor_image
    values = { value = "registry.example.com/devbox" }
  }

  assert {
    condition     = data.coder_workspace_preset.rust.parameters["executor_image"] == "registry.example.com/devbox"
    error_message = "The preset must name the image that the admin gave it."
  }

  assert {
    condition = (
      docker_container.worker[0].image == var.executor_images[1] && docker_container.worker[0].cpus == "2" &&
      docker_container.worker[0].memory == 4096
    )
    error_message = "The worker must have the image and the size that were chosen."
  }
}

run "bounds_every_size_by_the_admin" {
  command = plan

  variables {
    max_cpu       = 1
    max_memory_mb = 1024
    max_disk_gb   = 5
    disk_quota    = true
  }

  assert {
    condition = [
      one(data.coder_parameter.cpu.validation).max, one(data.coder_parameter.memory.validation).max,
      one(data.coder_parameter.disk[0].validation).max,
    ] == [1, 1024, 5]
    error_message = "The form must not go beyond what the admin allows."
  }

  assert {
    condition     = docker_container.worker[0].cpus == "1" && docker_container.worker[0].memory == 1024
    error_message = "A default must not be more than the admin allows."
  }

  assert {
    condition     = data.coder_workspace_preset.rust.parameters["cpu"] == "1" && data.coder_workspace_preset.rust.parameters["memory"] == "1024"
    error_message = "A preset must not be more than the admin allows."
  }
}

run "lets_nobody_name_an_image_unasked" {
  command = plan

  assert {
    condition     = [for one in data.coder_parameter.executor_image.option : one.value] == ["registry.example.com/base", "registry.example.com/devbox"]
    error_message = "Only the admin's images may be offered."
  }

  assert {
    condition     = [for one in data.coder_parameter.permission_profile.option : one.value] == ["read-only", "ask"]
    error_message = "An agent that does everything unasked must not be offered until the admin allows it."
  }
}

run "refuses_an_image_from_elsewhere" {
  command = plan

  variables {
    allowed_images = ["registry.example.com/team/"]
  }

  override_data {
    target = data.coder_parameter.executor_image
    values = { value = "own" }
  }
  override_data {
    target = data.coder_parameter.own_image
    values = {
      value = "registry.example.com/team/tools:1@sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
    }
  }

  assert {
    condition = {
      for image in [
        "registry.example.com/team/tools:1@sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
        "registry.example.com/team/tools:1",
        "registry.example.com/other/tools:1@sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
        "registryxexample.com/team/tools:1@sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
        "elsewhere.example.com/registry.example.com/team/tools:1@sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
      ] : split("@", image)[0] => can(regex(one(data.coder_parameter.own_image[0].validation).regex, image))...
      } == {
      "registry.example.com/team/tools:1"                       = [true, false]
      "registry.example.com/other/tools:1"                      = [false]
      "registryxexample.com/team/tools:1"                       = [false]
      "elsewhere.example.com/registry.example.com/team/tools:1" = [false]
    }
    error_message = "Only pinned images of the admin's registries may be named."
  }

  assert {
    condition     = one(data.coder_parameter.own_image[0].validation).error == "Begin with registry.example.com/team/ and end with a digest, such as registry.example.com/team/tools:1@sha256:<64 hex digits>."
    error_message = "The refusal must say what may be named, with an example."
  }

  assert {
    condition     = docker_container.worker[0].image == data.coder_parameter.own_image[0].value
    error_message = "The worker must run from the image that was named."
  }
}
