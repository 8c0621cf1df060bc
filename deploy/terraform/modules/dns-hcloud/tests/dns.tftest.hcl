variables {
  records = {
    "derp1.example.com A"    = { name = "derp1.example.com", type = "A", ttl = 300, addresses = ["192.0.2.1", "192.0.2.2"] }
    "derp1.example.com AAAA" = { name = "derp1.example.com", type = "AAAA", ttl = 300, addresses = ["2001:db8::1"] }
    "example.com A"          = { name = "example.com", type = "A", ttl = 300, addresses = ["192.0.2.3"] }
  }
  zone = "example.com"
}

mock_provider "hcloud" {}

run "records" {
  assert {
    condition     = hcloud_zone_rrset.main["example.com A"].name == "@" && hcloud_zone_rrset.main["derp1.example.com A"].name == "derp1" && toset([for record in hcloud_zone_rrset.main["derp1.example.com A"].records : record.value]) == toset(["192.0.2.1", "192.0.2.2"])
    error_message = "Other records than the plan's."
  }
}

run "another_zone" {
  command = plan
  variables {
    zone = "example.org"
  }
  expect_failures = [hcloud_zone_rrset.main]
}
