# The template "docker": what is made, and what is refused.
#
# test/templates/terraform-test.test.ts runs it, with the variables of given.auto.tfvars.json. Coder's provider is not mocked:
# what nobody chose has the form's default, and a run overrides what an owner chose.
mock_provider "docker" {}

run "starts_two_containers_that_can_do_nothing_to_their_host" {
  command = plan

  assert {
    condition     = docker_container.worker[0].image == var.executor_images[0] && docker_container.opencode[0].image == var.executor_images[0]
    error_message = "Worker and agent must run from the first image where nobody chose one."
  }

  assert {
    condition = alltrue([
      for one in concat(docker_container.worker, docker_container.opencode, docker_container.net, docker_container.opencode-init) :
      !one.privileged && one.user == "1000:0" && one(one.capabilities).drop == toset(["ALL"]) &&
      one.security_opts == toset(["no-new-privileges:true"]) && one.memory > 0 && one.restart == "no"
    ])
    error_message = "A container lost a part of its hardening."
  }

  assert {
    condition     = docker_container.opencode[0].read_only && docker_container.opencode[0].memory == 4096
    error_message = "The agent's root must be read-only, and its memory 4096 MB."
  }

  assert {
    condition     = !contains([for one in docker_container.opencode[0].mounts : one.target], "/home/coder")
    error_message = "The agent must not see the person's home."
  }

  assert {
    condition     = length(coder_app.outrigger) == 0
    error_message = "Where the admin named no page, no app may link to one."
  }
}

run "keeps_only_volumes_while_it_is_stopped" {
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
    condition     = length(concat(docker_container.worker, docker_container.opencode, docker_container.net, docker_network.workspace)) == 0
    error_message = "A stopped workspace must have no container and no network."
  }

  assert {
    condition     = docker_volume.home.name == "coder-2c1d7f3e-8d50-4a4b-9f53-0e7f5a6b1c22-home"
    error_message = "The volume of the home must be kept, under the workspace's id."
  }
}

run "runs_where_the_admin_says" {
  command = plan

  variables {
    container_runtime  = "io.containerd.kata.v2"
    outrigger_page_url = "http://pages.example.com:8080"
  }

  assert {
    condition     = docker_container.worker[0].runtime == "io.containerd.kata.v2" && docker_container.opencode[0].runtime == "io.containerd.kata.v2"
    error_message = "Worker and agent must run in the admin's runtime."
  }

  assert {
    condition     = coder_app.outrigger[0].external && coder_app.outrigger[0].url == "http://pages.example.com:8080/workspace/${data.coder_workspace.me.id}"
    error_message = "The app must link to the workspace's page at the admin's address."
  }
}

run "puts_the_agent_beside_the_person_only_where_the_admin_allows_it" {
  command = plan

  variables {
    agent_modes = ["process"]
  }

  assert {
    condition     = length(docker_container.opencode) == 0 && coder_agent.main.api_key_scope == "no_user_data"
    error_message = "Without a container of its own, the agent's neighbour must not hold the person's data at Coder."
  }
}

run "refuses_images_without_a_digest" {
  command = plan

  variables {
    executor_images = ["debian:12"]
    opencode_image  = "opencode:latest"
  }

  expect_failures = [var.executor_images, var.opencode_image]
}

run "refuses_what_is_no_secret_or_address" {
  command = plan

  variables {
    outrigger_secret   = "hunter2"
    outrigger_url      = "https://user:password@outrigger.example.com"
    outrigger_page_url = "https://$SESSION_TOKEN.example.com"
    http_proxy         = "http://user:password@proxy.example.com:3128"
    egress             = "open"
  }

  expect_failures = [var.outrigger_secret, var.outrigger_url, var.outrigger_page_url, var.http_proxy]
}

run "refuses_bounds_that_are_none" {
  command = plan

  variables {
    max_cpu     = 0
    max_profile = "root"
    agent_modes = []
    agent_slots = 5
  }

  expect_failures = [var.max_cpu, var.max_profile, var.agent_modes, var.agent_slots]
}
