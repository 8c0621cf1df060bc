output "node" {
  description = "The host, in the shape that all node modules have."
  value = {
    name      = var.node.name
    region_id = var.node.regions[0]
    hostname  = var.node.hostname
    ipv4      = hcloud_primary_ip.ipv4.ip_address
    ipv6      = cidrhost(hcloud_primary_ip.ipv6.ip_network, 1)
  }
}

# The map has the addresses of regions.yaml, and clients whose DNS fails use them.
check "addresses" {
  assert {
    condition = (
      contains([hcloud_primary_ip.ipv4.ip_address, "none"], coalesce(var.node.ipv4, hcloud_primary_ip.ipv4.ip_address)) &&
      contains([cidrhost(hcloud_primary_ip.ipv6.ip_network, 1), "none"], coalesce(var.node.ipv6, cidrhost(hcloud_primary_ip.ipv6.ip_network, 1)))
    )
    error_message = "regions.yaml: ${var.node.name} has other addresses than its host; expected ipv4: ${hcloud_primary_ip.ipv4.ip_address} and ipv6: ${cidrhost(hcloud_primary_ip.ipv6.ip_network, 1)}."
  }
}
