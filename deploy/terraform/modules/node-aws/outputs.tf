output "node" {
  description = "The host, in the shape that all node modules have."
  value = {
    name      = var.node.name
    region_id = var.node.regions[0]
    hostname  = var.node.hostname
    ipv4      = aws_eip.main.public_ip
    ipv6      = one(aws_network_interface.main.ipv6_addresses)
  }
}

# The map has the addresses of regions.yaml, and clients whose DNS fails use them.
check "addresses" {
  assert {
    condition = (
      contains([aws_eip.main.public_ip, "none"], coalesce(var.node.ipv4, aws_eip.main.public_ip)) &&
      contains([one(aws_network_interface.main.ipv6_addresses), "none"], coalesce(var.node.ipv6, one(aws_network_interface.main.ipv6_addresses)))
    )
    error_message = "regions.yaml: ${var.node.name} has other addresses than its host; expected ipv4: ${aws_eip.main.public_ip} and ipv6: ${one(aws_network_interface.main.ipv6_addresses)}."
  }
}
