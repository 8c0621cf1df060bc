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
  location      = "fsn1"
}

mock_provider "hcloud" {
  mock_resource "hcloud_primary_ip" {
    defaults = { id = "7", ip_address = "192.0.2.1", ip_network = "2001:db8:1::/64" }
  }
  mock_resource "hcloud_firewall" {
    defaults = { id = "8" }
  }
}

run "host" {
  assert {
    condition     = output.node == { name = "900a", region_id = 900, hostname = "derp1.example.com", ipv4 = "192.0.2.1", ipv6 = "2001:db8:1::1" }
    error_message = "The output has another shape than that of all node modules."
  }
  assert {
    condition = toset([for rule in hcloud_firewall.main.rule : "${rule.protocol} ${coalesce(rule.port, "-")} ${join(",", sort(rule.source_ips))}"]) == toset([
      "tcp 443 0.0.0.0/0,::/0", "tcp 80 0.0.0.0/0,::/0", "udp 3478 0.0.0.0/0,::/0",
      "tcp 9090 192.0.2.0/24,2001:db8:9::/48", "icmp - 0.0.0.0/0,::/0",
    ])
    error_message = "The firewall lets in other ports than 443, 80, STUN, and the named ones."
  }
  assert {
    condition     = hcloud_server.main.delete_protection && hcloud_primary_ip.ipv4.delete_protection && !hcloud_primary_ip.ipv4.auto_delete
    error_message = "The server or its address can be deleted by mistake."
  }
}

run "other_addresses_in_the_file" {
  variables {
    node = { name = "900a", regions = [900], hostname = "derp1.example.com", ipv4 = "192.0.2.9", ipv6 = "none", derp_port = 443, stun_port = 3478 }
  }
  expect_failures = [check.addresses]
}

run "no_stun" {
  variables {
    node          = { name = "900a", regions = [900], hostname = "derp1.example.com", ipv4 = "192.0.2.1", ipv6 = "none", derp_port = 8443, stun_port = null }
    metrics_cidrs = []
  }
  assert {
    condition     = toset([for rule in hcloud_firewall.main.rule : coalesce(rule.port, "-")]) == toset(["8443", "80", "-"])
    error_message = "The firewall lets in ports that the relay does not have."
  }
}

run "wrong_networks" {
  command = plan
  variables {
    metrics_cidrs = ["everywhere"]
  }
  expect_failures = [var.metrics_cidrs]
}
