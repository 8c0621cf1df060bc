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
  vpc_id        = "vpc-1"
  subnet_id     = "subnet-1"
  ami           = "ami-1"
}

mock_provider "aws" {
  mock_resource "aws_eip" {
    defaults = { public_ip = "192.0.2.1" }
  }
  mock_resource "aws_network_interface" {
    defaults = { ipv6_addresses = ["2001:db8::1"] }
  }
}

run "host" {
  assert {
    condition     = output.node == { name = "900a", region_id = 900, hostname = "derp1.example.com", ipv4 = "192.0.2.1", ipv6 = "2001:db8::1" }
    error_message = "The output has another shape than that of all node modules."
  }
  assert {
    condition = toset(keys(aws_vpc_security_group_ingress_rule.main)) == toset([
      "tcp 443 0.0.0.0/0", "tcp 443 ::/0", "tcp 80 0.0.0.0/0", "tcp 80 ::/0", "udp 3478 0.0.0.0/0", "udp 3478 ::/0",
      "tcp 9090 192.0.2.0/24", "tcp 9090 2001:db8:9::/48", "icmp", "icmpv6",
    ])
    error_message = "The security group lets in other ports than 443, 80, STUN, and the named ones."
  }
  assert {
    condition     = aws_instance.main.metadata_options[0].http_tokens == "required" && aws_instance.main.disable_api_termination && !aws_instance.main.user_data_replace_on_change
    error_message = "The instance has metadata without tokens, or is deleted or replaced by mistake."
  }
  assert {
    condition     = aws_eip_association.main.network_interface_id == aws_network_interface.main.id
    error_message = "The elastic address does not lead to the interface."
  }
}

run "other_addresses_in_the_file" {
  variables {
    node = { name = "900a", regions = [900], hostname = "derp1.example.com", ipv4 = "192.0.2.9", ipv6 = "none", derp_port = 443, stun_port = 3478 }
  }
  expect_failures = [check.addresses]
}
