# The template "kubernetes": what an owner may choose.
#
# test/templates/terraform-test.test.ts runs it, with the variables of given.auto.tfvars.json. Coder's provider is not mocked:
# what nobody chose has the form's default, and a run overrides what an owner chose.
mock_provider "kubernetes" {}

run "offers_the_presets_node_first" {
  command = plan

  assert {
    condition = {
      for one in [
        data.coder_workspace_preset.node, data.coder_workspace_preset.python, data.coder_workspace_preset.rust,
        data.coder_workspace_preset.full-stack, data.coder_workspace_preset.nix,
      ] : one.name => "${one.parameters["cpu"]} ${one.parameters["memory"]} ${one.parameters["disk"]}"
      } == {
      node       = "1 2048 10"
      python     = "1 2048 10"
      rust       = "2 4096 20"
      full-stack = "2 4096 20"
      nix        = "2 4096 20"
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
    target = data.coder_parameter.disk
    values = { value = "20" }
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
    condition = alltrue([
      for one in kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container :
      one.image == var.executor_images[1]
    ])
    error_message = "Worker and agent must run from the image that was chosen."
  }

  assert {
    condition = (
      kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container[0].resources[0].limits["cpu"] == "2" &&
      kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container[0].resources[0].limits["memory"] == "4096Mi" &&
      kubernetes_persistent_volume_claim_v1.workspace.spec[0].resources[0].requests["storage"] == "20Gi"
    )
    error_message = "The worker and its claim must have the size that was chosen."
  }
}

run "bounds_every_size_by_the_admin" {
  command = plan

  variables {
    max_cpu       = 1
    max_memory_mb = 1024
    max_disk_gb   = 5
  }

  assert {
    condition = [
      one(data.coder_parameter.cpu.validation).max, one(data.coder_parameter.memory.validation).max,
      one(data.coder_parameter.disk.validation).max,
    ] == [1, 1024, 5]
    error_message = "The form must not go beyond what the admin allows."
  }

  assert {
    condition = (
      kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container[0].resources[0].limits["memory"] == "1024Mi" &&
      data.coder_workspace_preset.rust.parameters["memory"] == "1024"
    )
    error_message = "Neither a default nor a preset may be more than the admin allows."
  }
}
