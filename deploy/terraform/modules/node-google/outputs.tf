output "node" {
  description = "The host, in the shape that all node modules have."
  value = {
    name      = var.node.name
    region_id = var.node.regions[0]
    hostname  = var.node.hostname
    ipv4      = google_compute_address.ipv4.address
    ipv6      = google_compute_address.ipv6.address
  }
}

# The map has the addresses of regions.yaml, and clients whose DNS fails use them.
check "addresses" {
  assert {
    condition = (
      contains([google_compute_address.ipv4.address, "none"], coalesce(var.node.ipv4, google_compute_address.ipv4.address)) &&
      contains([google_compute_address.ipv6.address, "none"], coalesce(var.node.ipv6, google_compute_address.ipv6.address))
    )
    error_message = "regions.yaml: ${var.node.name} has other addresses than its host; expected ipv4: ${google_compute_address.ipv4.address} and ipv6: ${google_compute_address.ipv6.address}."
  }
}
