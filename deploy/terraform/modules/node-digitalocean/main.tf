resource "digitalocean_reserved_ip" "main" {
  region = var.region

  lifecycle {
    # The assignment below says where it points.
    ignore_changes = [droplet_id]
  }
}

resource "digitalocean_reserved_ipv6" "main" {
  region_slug = var.region

  lifecycle {
    ignore_changes = [droplet_id]
  }
}

resource "digitalocean_droplet" "main" {
  name       = "derp-${var.node.name}"
  region     = var.region
  size       = var.size
  image      = var.image
  ipv6       = true
  monitoring = true
  ssh_keys   = var.ssh_keys
  user_data  = var.user_data
  tags       = ["derp", "derp-region-${var.node.regions[0]}"]

  lifecycle {
    create_before_destroy = true
    ignore_changes        = [user_data, image, ssh_keys]
    replace_triggered_by  = [terraform_data.generation]
  }
}

resource "digitalocean_reserved_ip_assignment" "main" {
  ip_address = digitalocean_reserved_ip.main.ip_address
  droplet_id = digitalocean_droplet.main.id
}

resource "digitalocean_reserved_ipv6_assignment" "main" {
  ip         = digitalocean_reserved_ipv6.main.ip
  droplet_id = digitalocean_droplet.main.id
}

resource "digitalocean_firewall" "main" {
  name        = "derp-${var.node.name}"
  droplet_ids = [digitalocean_droplet.main.id]

  dynamic "inbound_rule" {
    for_each = local.public_ports
    content {
      protocol         = inbound_rule.value.protocol
      port_range       = tostring(inbound_rule.value.port)
      source_addresses = ["0.0.0.0/0", "::/0"]
    }
  }

  dynamic "inbound_rule" {
    for_each = local.restricted_ports
    content {
      protocol         = "tcp"
      port_range       = tostring(inbound_rule.value.port)
      source_addresses = inbound_rule.value.cidrs
    }
  }

  # Without ICMP, clients behind tunnels do not learn how long packets may be.
  inbound_rule {
    protocol         = "icmp"
    source_addresses = ["0.0.0.0/0", "::/0"]
  }

  dynamic "outbound_rule" {
    for_each = ["tcp", "udp"]
    content {
      protocol              = outbound_rule.value
      port_range            = "1-65535"
      destination_addresses = ["0.0.0.0/0", "::/0"]
    }
  }

  outbound_rule {
    protocol              = "icmp"
    destination_addresses = ["0.0.0.0/0", "::/0"]
  }
}
