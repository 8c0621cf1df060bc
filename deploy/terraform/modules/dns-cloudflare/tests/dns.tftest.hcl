variables {
  records = {
    "derp1.example.com A"    = { name = "derp1.example.com", type = "A", ttl = 300, addresses = ["192.0.2.1", "192.0.2.2"] }
    "derp1.example.com AAAA" = { name = "derp1.example.com", type = "AAAA", ttl = 300, addresses = ["2001:db8::1"] }
    "example.com A"          = { name = "example.com", type = "A", ttl = 300, addresses = ["192.0.2.3"] }
  }
  zone_id = "z"
}

mock_provider "cloudflare" {}

run "records" {
  assert {
    condition = toset([for record in values(cloudflare_dns_record.main) : "${record.name} ${record.type} ${record.content} ${record.ttl} ${record.proxied}"]) == toset([
      "derp1.example.com A 192.0.2.1 300 false", "derp1.example.com A 192.0.2.2 300 false",
      "derp1.example.com AAAA 2001:db8::1 300 false", "example.com A 192.0.2.3 300 false",
    ])
    error_message = "Other records than the plan's, or proxied ones."
  }
}
