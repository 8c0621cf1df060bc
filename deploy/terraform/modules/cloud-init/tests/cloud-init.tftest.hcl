variables {
  node = {
    name          = "900a"
    settings      = { hostname = "derp1.example.com", verify-client-url = "https://headscale.example.com/verify" }
    settings_yaml = "hostname: \"derp1.example.com\"\n"
    unit_drop_in  = "[Service]\nLoadCredential=mesh.key:/etc/derpfleet/mesh.key\n"
  }
  regions_yaml = "regions: {}\n"
  package      = { url = "https://example.com/derpfleet.deb", sha256 = "00000000000000000000000000000000000000000000000000000000000000aa" }
}

run "without_secrets" {
  assert {
    condition     = startswith(output.user_data, "#cloud-config\n") && !strcontains(output.user_data, "/etc/derpfleet/mesh.key\",\"permissions\"")
    error_message = "Not user data of cloud-init, or with a mesh key that was not given."
  }
  assert {
    condition     = [for file in yamldecode(output.user_data).write_files : file.content if file.path == "/etc/derpfleet/derpfleet.yaml"] == ["hostname: \"derp1.example.com\"\n"]
    error_message = "The settings are others."
  }
}

run "with_everything" {
  variables {
    mesh_key            = "11111111111111111111111111111111111111111111111111111111111111bb\n"
    regions_url         = "https://example.com/regions%20.yaml"
    ssh_authorized_keys = ["ssh-ed25519 AAAA alice"]
  }
  assert {
    condition     = [for file in yamldecode(output.user_data).write_files : file.permissions if file.path == "/etc/derpfleet/mesh.key"] == ["0600"]
    error_message = "The mesh key is missing or can be read."
  }
  assert {
    condition     = strcontains(output.user_data, "ExecStart=/usr/local/sbin/fetch-regions https://example.com/regions%%20.yaml\\n")
    error_message = "The unit has another URL."
  }
}

run "no_admission" {
  command = plan
  variables {
    node = { name = "900a", settings = { verify-clients = false }, settings_yaml = "", unit_drop_in = null }
  }
  expect_failures = [var.node]
}

run "no_checksum" {
  command = plan
  variables {
    package = { url = "https://example.com/derpfleet.deb", sha256 = "latest" }
  }
  expect_failures = [var.package]
}

run "plain_http" {
  command = plan
  variables {
    package = { url = "http://example.com/derpfleet.deb", sha256 = "00000000000000000000000000000000000000000000000000000000000000aa" }
  }
  expect_failures = [var.package]
}

run "short_mesh_key" {
  command = plan
  variables {
    mesh_key = "secret"
  }
  expect_failures = [var.mesh_key]
}

run "url_of_two_words" {
  command = plan
  variables {
    regions_url = "https://example.com/a b"
  }
  expect_failures = [var.regions_url]
}
