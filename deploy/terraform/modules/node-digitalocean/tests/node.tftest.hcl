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
  region        = "nyc3"
}

mock_provider "digitalocean" {
  mock_resource "digitalocean_reserved_ip" {
    defaults = { ip_address = "192.0.2.1" }
  }
  mock_resource "digitalocean_reserved_ipv6" {
    defaults = { ip = "2001:db8::1" }
  }
  mock_resource "digitalocean_droplet" {
    defaults = { id = "7" }
  }
}

run "host" {
  assert {
    condition     = output.node == { name = "900a", region_id = 900, hostname = "derp1.example.com", ipv4 = "192.0.2.1", ipv6 = "2001:db8::1" }
    error_message = "The output has another shape than that of all node modules."
  }
  assert {
    condition = toset([for rule in digitalocean_firewall.main.inbound_rule : "${rule.protocol} ${rule.protocol == "icmp" ? "-" : rule.port_range} ${join(",", sort(rule.source_addresses))}"]) == toset([
      "tcp 443 0.0.0.0/0,::/0", "tcp 80 0.0.0.0/0,::/0", "udp 3478 0.0.0.0/0,::/0",
      "tcp 9090 192.0.2.0/24,2001:db8:9::/48", "icmp - 0.0.0.0/0,::/0",
    ])
    error_message = "The firewall lets in other ports than 443, 80, STUN, and the named ones."
  }
  assert {
    condition     = digitalocean_reserved_ip_assignment.main.ip_address == "192.0.2.1" && digitalocean_reserved_ipv6_assignment.main.ip == "2001:db8::1"
    error_message = "The reserved addresses do not lead to the droplet."
  }
}

run "other_addresses_in_the_file" {
  variables {
    node = { name = "900a", regions = [900], hostname = "derp1.example.com", ipv4 = "192.0.2.1", ipv6 = "2001:db8::9", derp_port = 443, stun_port = 3478 }
  }
  expect_failures = [check.addresses]
}
