variables {
  records = {
    "derp1.example.com A"    = { name = "derp1.example.com", type = "A", ttl = 300, addresses = ["192.0.2.1", "192.0.2.2"] }
    "derp1.example.com AAAA" = { name = "derp1.example.com", type = "AAAA", ttl = 300, addresses = ["2001:db8::1"] }
    "example.com A"          = { name = "example.com", type = "A", ttl = 300, addresses = ["192.0.2.3"] }
  }
  domain = "example.com"
}

mock_provider "digitalocean" {}

run "records" {
  assert {
    condition = toset([for record in values(digitalocean_record.main) : "${record.name} ${record.type} ${record.value}"]) == toset([
      "derp1 A 192.0.2.1", "derp1 A 192.0.2.2", "derp1 AAAA 2001:db8::1", "@ A 192.0.2.3",
    ])
    error_message = "Other records than the plan's."
  }
}

run "another_domain" {
  command = plan
  variables {
    domain = "example.org"
  }
  expect_failures = [digitalocean_record.main]
}
