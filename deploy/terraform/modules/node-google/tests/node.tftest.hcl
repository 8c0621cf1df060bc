variables {
  node = {
    name      = "900a"
    regions   = [900]
    hostname  = "derp1.example.com"
    ipv4      = null
    ipv6      = null
    derp_port = 443
    stun_port = 3478
  }
  user_data     = "#cloud-config\n{}\n"
  generation    = 1
  metrics_cidrs = ["192.0.2.0/24", "2001:db8:9::/48"]
  zone          = "us-east1-b"
  network       = "relays"
  subnetwork    = "relays-us-east1"
}

mock_provider "google" {
  override_resource {
    target = google_compute_address.ipv4
    values = { address = "192.0.2.1" }
  }
  override_resource {
    target = google_compute_address.ipv6
    values = { address = "2001:db8::1" }
  }
}

run "host" {
  assert {
    condition     = output.node == { name = "900a", region_id = 900, hostname = "derp1.example.com", ipv4 = "192.0.2.1", ipv6 = "2001:db8::1" }
    error_message = "The output has another shape than that of all node modules."
  }
  assert {
    condition     = google_compute_address.ipv4.region == "us-east1" && google_compute_instance.main.name == "derp-900a"
    error_message = "The address is in another region, or the instance has another name."
  }
  assert {
    condition = toset([for rule in google_compute_firewall.public["ipv4"].allow : "${rule.protocol} ${try(rule.ports[0], "-")}"]) == toset(["tcp 443", "tcp 80", "udp 3478", "icmp -"]) && (
      google_compute_firewall.public["ipv6"].source_ranges == toset(["::/0"]) &&
      google_compute_firewall.restricted["ipv4-9090"].source_ranges == toset(["192.0.2.0/24"]) &&
      google_compute_firewall.restricted["ipv6-9090"].source_ranges == toset(["2001:db8:9::/48"])
    )
    error_message = "The firewall lets in other ports than 443, 80, STUN, and the named ones."
  }
  assert {
    condition     = google_compute_instance.main.deletion_protection
    error_message = "The instance can be deleted by mistake."
  }
}

run "other_addresses_in_the_file" {
  variables {
    node = { name = "900a", regions = [900], hostname = "derp1.example.com", ipv4 = "192.0.2.9", ipv6 = "none", derp_port = 443, stun_port = 3478 }
  }
  expect_failures = [check.addresses]
}

run "wrong_zone" {
  command = plan
  variables {
    zone = "us-east1"
  }
  expect_failures = [var.zone]
}
