output "node" {
  description = "The host, in the shape that all node modules have."
  value = {
    name      = var.node.name
    region_id = var.node.regions[0]
    hostname  = var.node.hostname
    ipv4      = digitalocean_reserved_ip.main.ip_address
    ipv6      = digitalocean_reserved_ipv6.main.ip
  }
}

# The map has the addresses of regions.yaml, and clients whose DNS fails use them.
check "addresses" {
  assert {
    condition = (
      contains([digitalocean_reserved_ip.main.ip_address, "none"], coalesce(var.node.ipv4, digitalocean_reserved_ip.main.ip_address)) &&
      contains([digitalocean_reserved_ipv6.main.ip, "none"], coalesce(var.node.ipv6, digitalocean_reserved_ipv6.main.ip))
    )
    error_message = "regions.yaml: ${var.node.name} has other addresses than its host; expected ipv4: ${digitalocean_reserved_ip.main.ip_address} and ipv6: ${digitalocean_reserved_ipv6.main.ip}."
  }
}
