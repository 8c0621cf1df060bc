variables {
  records = {
    "derp1.example.com A"    = { name = "derp1.example.com", type = "A", ttl = 300, addresses = ["192.0.2.1", "192.0.2.2"] }
    "derp1.example.com AAAA" = { name = "derp1.example.com", type = "AAAA", ttl = 300, addresses = ["2001:db8::1"] }
    "example.com A"          = { name = "example.com", type = "A", ttl = 300, addresses = ["192.0.2.3"] }
  }
  managed_zone = "z"
}

mock_provider "google" {}

run "records" {
  assert {
    condition     = google_dns_record_set.main["derp1.example.com A"].name == "derp1.example.com." && tolist(google_dns_record_set.main["derp1.example.com A"].rrdatas) == tolist(["192.0.2.1", "192.0.2.2"])
    error_message = "Other records than the plan's."
  }
}
