resource "hcloud_primary_ip" "ipv4" {
  name              = "derp-${var.node.name}-ipv4"
  type              = "ipv4"
  assignee_type     = "server"
  location          = var.location
  auto_delete       = false
  delete_protection = var.protect
}

resource "hcloud_primary_ip" "ipv6" {
  name              = "derp-${var.node.name}-ipv6"
  type              = "ipv6"
  assignee_type     = "server"
  location          = var.location
  auto_delete       = false
  delete_protection = var.protect
}

resource "hcloud_firewall" "main" {
  name = "derp-${var.node.name}"

  dynamic "rule" {
    for_each = local.public_ports
    content {
      description = rule.value.about
      direction   = "in"
      protocol    = rule.value.protocol
      port        = tostring(rule.value.port)
      source_ips  = ["0.0.0.0/0", "::/0"]
    }
  }

  dynamic "rule" {
    for_each = local.restricted_ports
    content {
      description = rule.value.about
      direction   = "in"
      protocol    = "tcp"
      port        = tostring(rule.value.port)
      source_ips  = rule.value.cidrs
    }
  }

  # Without ICMP, clients behind tunnels do not learn how long packets may be.
  rule {
    description = "ICMP"
    direction   = "in"
    protocol    = "icmp"
    source_ips  = ["0.0.0.0/0", "::/0"]
  }
}

# A primary address belongs to one server, so the old one goes before the new one comes.
resource "hcloud_server" "main" {
  name               = "derp-${var.node.name}"
  server_type        = var.server_type
  image              = var.image
  location           = var.location
  ssh_keys           = var.ssh_keys
  firewall_ids       = [hcloud_firewall.main.id]
  user_data          = var.user_data
  delete_protection  = var.protect
  rebuild_protection = var.protect
  labels             = { derp-region = tostring(var.node.regions[0]) }

  public_net {
    ipv4_enabled = true
    ipv4         = hcloud_primary_ip.ipv4.id
    ipv6_enabled = true
    ipv6         = hcloud_primary_ip.ipv6.id
  }

  lifecycle {
    ignore_changes       = [user_data, image, ssh_keys]
    replace_triggered_by = [terraform_data.generation]
  }
}
