# The template "kata": what it has beyond "kubernetes".
#
# test/templates/terraform-test.test.ts runs it, with the variables of given.auto.tfvars.json. Coder's provider is not mocked:
# what nobody chose has the form's default, and a run overrides what an owner chose.
mock_provider "kubernetes" {}

variables {
  node_kernels = ["6.1.0-30-amd64", "6.1.0-31-amd64"]
}

run "runs_in_a_virtual_machine_and_proves_it_before_the_agent_starts" {
  command = plan

  assert {
    condition     = kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].runtime_class_name == "kata-qemu"
    error_message = "The pod must have the RuntimeClass."
  }

  assert {
    condition = [
      for one in kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container : one.command if one.name == "opencode"
      ] == [tolist([
        "/tools/enter", "sh", "-c", "/tools/runtime-proof check && exec \"$0\" \"$@\"", "/tools/opencode", "/tools/bridge.js",
    ])]
    error_message = "The bridge must start only after the proof."
  }

  assert {
    condition = [
      for one in kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container :
      { for entry in one.env : entry.name => entry.value if contains(["OUTRIGGER_RUNTIME", "OUTRIGGER_NODE_KERNELS", "OUTRIGGER_RUNTIME_UNPROVEN"], entry.name) }
      ] == [
      for _ in range(2) : {
        OUTRIGGER_RUNTIME          = "kata"
        OUTRIGGER_NODE_KERNELS     = "6.1.0-30-amd64,6.1.0-31-amd64"
        OUTRIGGER_RUNTIME_UNPROVEN = ""
      }
    ]
    error_message = "Worker and agent must know which kernels are the nodes' own."
  }

  assert {
    condition     = contains([for one in coder_agent.main.metadata : one.key], "verified_at")
    error_message = "Whether the isolation is proven must be shown."
  }
}

run "has_the_memory_that_a_virtual_machine_needs" {
  command = plan

  assert {
    condition = [
      one(data.coder_parameter.memory.validation).min, tonumber(data.coder_parameter.memory.value),
    ] == [2048, 2048]
    error_message = "Nobody may choose less memory than the virtual machine needs."
  }
}

run "offers_presets_that_fit" {
  command = plan

  variables {
    max_memory_mb = 2048
  }

  assert {
    condition = alltrue([
      for one in [
        data.coder_workspace_preset.node, data.coder_workspace_preset.python, data.coder_workspace_preset.rust,
        data.coder_workspace_preset.full-stack, data.coder_workspace_preset.nix,
      ] : one.parameters["memory"] == "2048"
    ])
    error_message = "A preset must fit between the floor and what the admin allows."
  }
}

run "starts_in_process_only_after_the_proof" {
  command = plan

  variables {
    agent_modes = ["process"]
  }

  assert {
    condition     = length(kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container) == 1
    error_message = "There must be no container for the agent."
  }

  assert {
    condition     = strcontains(coder_script.bridge[0].script, "/tools/runtime-proof check && exec")
    error_message = "Beside the person too the bridge must start only after the proof."
  }
}

run "lets_the_admin_go_without_the_proof_and_says_so" {
  command = plan

  variables {
    node_kernels           = []
    allow_unproven_runtime = true
  }

  assert {
    condition = contains([
      for one in kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container[1].env : "${one.name}=${coalesce(one.value, "-")}"
    ], "OUTRIGGER_RUNTIME_UNPROVEN=allow")
    error_message = "The admin's word must reach the proof."
  }
}

run "refuses_to_be_called_kata_without_a_runtime_class" {
  command = plan

  variables {
    runtime_class = ""
  }

  expect_failures = [var.runtime_class]
}

run "refuses_to_start_without_the_kernels_of_the_nodes" {
  command = plan

  variables {
    node_kernels = []
  }

  expect_failures = [var.node_kernels]
}

run "refuses_less_memory_than_the_floor" {
  command = plan

  variables {
    max_memory_mb = 1024
  }

  expect_failures = [var.max_memory_mb]
}
