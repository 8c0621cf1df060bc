variables {
  records = {
    "derp1.example.com A"    = { name = "derp1.example.com", type = "A", ttl = 300, addresses = ["192.0.2.1", "192.0.2.2"] }
    "derp1.example.com AAAA" = { name = "derp1.example.com", type = "AAAA", ttl = 300, addresses = ["2001:db8::1"] }
    "example.com A"          = { name = "example.com", type = "A", ttl = 300, addresses = ["192.0.2.3"] }
  }
  zone_id = "z"
}

mock_provider "aws" {}

run "records" {
  assert {
    condition     = length(aws_route53_record.main) == 3 && aws_route53_record.main["derp1.example.com A"].records == toset(["192.0.2.1", "192.0.2.2"])
    error_message = "Other records than the plan's."
  }
}
