variables {
  chart        = "./derpfleet"
  region       = 900
  regions_yaml = "regions: { 900: { code: fra, nodes: [{ name: 900a, hostname: derp1.example.com }] } }"
  values       = { admission = { verifyClientUrl = "https://headscale.example.com/verify" } }
}

mock_provider "helm" {}

run "release" {
  assert {
    condition = merge([for text in helm_release.main.values : yamldecode(text)]...) == {
      admission = { verifyClientUrl = "https://headscale.example.com/verify" }
      regions   = { "900" = { code = "fra", nodes = [{ name = "900a", hostname = "derp1.example.com" }] } }
      region    = 900
    }
    error_message = "The release has other values."
  }
}

run "unknown_region" {
  command = plan
  variables {
    region = 901
  }
  expect_failures = [var.region]
}

run "regions_twice" {
  command = plan
  variables {
    values = { region = 901 }
  }
  expect_failures = [var.values]
}
