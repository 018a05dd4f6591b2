# The template "kubernetes": what is made, and what is refused.
#
# test/templates/terraform-test.test.ts runs it, with the variables of given.auto.tfvars.json. Coder's provider is not mocked:
# what nobody chose has the form's default, and a run overrides what an owner chose.
mock_provider "kubernetes" {}

run "passes_pod_security_restricted" {
  command = plan

  assert {
    condition = alltrue([
      for one in concat(
        kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container,
        kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].init_container,
      ) :
      one.security_context[0].run_as_non_root && !one.security_context[0].privileged &&
      !one.security_context[0].allow_privilege_escalation && one.security_context[0].capabilities[0].drop == tolist(["ALL"]) &&
      one.security_context[0].seccomp_profile[0].type == "RuntimeDefault" && one.resources[0].limits["memory"] != null
    ])
    error_message = "A container lost a part of its hardening."
  }

  assert {
    condition = alltrue([
      for one in kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec :
      !one.automount_service_account_token && !one.host_network && !one.host_pid && !one.host_ipc &&
      !one.share_process_namespace
    ])
    error_message = "The pod must share nothing of its node, and have no account at the cluster."
  }

  assert {
    condition     = kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].runtime_class_name == null
    error_message = "Without a RuntimeClass the pod must name none, and not an empty one."
  }

  assert {
    condition = !contains([
      for one in kubernetes_deployment_v1.workspace[0].spec[0].template[0].spec[0].container[1].volume_mount : one.mount_path
    ], "/home/coder")
    error_message = "The agent must not see the person's home."
  }
}

run "keeps_only_claims_and_their_policy_while_it_is_stopped" {
  command = plan

  override_data {
    target = data.coder_workspace.me
    values = {
      id          = "2c1d7f3e-8d50-4a4b-9f53-0e7f5a6b1c22"
      name        = "Blue-Whale"
      start_count = 0
    }
  }

  assert {
    condition     = length(concat(kubernetes_deployment_v1.workspace, kubernetes_secret_v1.workspace)) == 0
    error_message = "A stopped workspace must have no pod and no secret."
  }

  assert {
    condition     = kubernetes_persistent_volume_claim_v1.home.metadata[0].name == "coder-2c1d7f3e-8d50-4a4b-9f53-0e7f5a6b1c22-home"
    error_message = "The claim of the home must be kept, under the workspace's id."
  }
}

run "puts_each_owner_into_a_namespace_that_enforces_restricted" {
  command = plan

  variables {
    create_namespace = true
    quota            = { "limits.memory" = "32Gi" }
  }

  assert {
    condition     = kubernetes_namespace_v1.workspace[0].metadata[0].labels["pod-security.kubernetes.io/enforce"] == "restricted"
    error_message = "A namespace that is made must enforce Pod Security restricted."
  }

  assert {
    condition     = kubernetes_resource_quota_v1.workspace[0].spec[0].hard["limits.memory"] == "32Gi"
    error_message = "The quota must be the admin's."
  }
}

run "refuses_what_would_open_the_cluster" {
  command = plan

  variables {
    egress_cidrs = ["169.254.0.0/16"]
    namespace    = "kube system"
    quota        = { "limits.memory" = "32Gi" }
  }

  expect_failures = [var.egress_cidrs, var.namespace, var.quota]
}

run "refuses_images_without_a_digest" {
  command = plan

  variables {
    executor_images = ["debian:12"]
    opencode_image  = "opencode:latest"
  }

  expect_failures = [var.executor_images, var.opencode_image]
}
