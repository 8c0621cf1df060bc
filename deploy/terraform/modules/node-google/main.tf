locals {
  # Names are lower-case letters, digits and hyphens.
  name   = "derp-${replace(lower(var.node.name), "/[^a-z0-9-]/", "-")}"
  region = replace(var.zone, "/-[a-z]$/", "")
}

resource "google_compute_address" "ipv4" {
  name         = "${local.name}-ipv4"
  region       = local.region
  address_type = "EXTERNAL"
}

resource "google_compute_address" "ipv6" {
  name               = "${local.name}-ipv6"
  region             = local.region
  address_type       = "EXTERNAL"
  ip_version         = "IPV6"
  ipv6_endpoint_type = "VM"
  subnetwork         = var.subnetwork
}

# A rule has addresses of one family.
resource "google_compute_firewall" "public" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  name          = "${local.name}-${each.key}"
  network       = var.network
  target_tags   = [local.name]
  source_ranges = [each.value]

  dynamic "allow" {
    for_each = local.public_ports
    content {
      protocol = allow.value.protocol
      ports    = [tostring(allow.value.port)]
    }
  }

  # Without ICMP, clients behind tunnels do not learn how long packets may be. 58 is that of IPv6.
  allow {
    protocol = each.key == "ipv4" ? "icmp" : "58"
  }
}

locals {
  restricted = merge([
    for ports in local.restricted_ports : {
      for family in ["ipv4", "ipv6"] : "${family}-${ports.port}" => {
        port  = ports.port
        cidrs = [for cidr in ports.cidrs : cidr if strcontains(cidr, ":") == (family == "ipv6")]
      }
    }
  ]...)
}

resource "google_compute_firewall" "restricted" {
  for_each = { for name, rule in local.restricted : name => rule if length(rule.cidrs) > 0 }

  name          = "${local.name}-${each.key}"
  network       = var.network
  target_tags   = [local.name]
  source_ranges = each.value.cidrs

  allow {
    protocol = "tcp"
    ports    = [tostring(each.value.port)]
  }
}

# An address belongs to one instance, so the old one goes before the new one comes.
resource "google_compute_instance" "main" {
  name                = local.name
  zone                = var.zone
  machine_type        = var.machine_type
  tags                = [local.name]
  deletion_protection = var.protect
  labels              = { derp-region = tostring(var.node.regions[0]) }

  metadata = {
    user-data              = var.user_data
    block-project-ssh-keys = "true"
  }

  boot_disk {
    initialize_params {
      image = var.image
    }
  }

  network_interface {
    subnetwork = var.subnetwork
    stack_type = "IPV4_IPV6"

    access_config {
      nat_ip = google_compute_address.ipv4.address
    }

    ipv6_access_config {
      external_ipv6               = google_compute_address.ipv6.address
      external_ipv6_prefix_length = 96
      name                        = "external-ipv6"
      network_tier                = "PREMIUM"
    }
  }

  shielded_instance_config {
    enable_secure_boot = true
  }

  lifecycle {
    ignore_changes       = [metadata["user-data"], boot_disk[0].initialize_params[0].image]
    replace_triggered_by = [terraform_data.generation]
  }
}
