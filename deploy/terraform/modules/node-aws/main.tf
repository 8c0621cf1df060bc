resource "aws_security_group" "main" {
  name_prefix = "derp-${var.node.name}-"
  description = "DERP relay ${var.node.name}"
  vpc_id      = var.vpc_id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  tags = { Name = "derp-${var.node.name}", derp-region = tostring(var.node.regions[0]) }

  ingress = merge(
    {
      for rule in setproduct(local.public_ports, ["0.0.0.0/0", "::/0"]) :
      "${rule[0].protocol} ${rule[0].port} ${rule[1]}" => { protocol = rule[0].protocol, port = rule[0].port, cidr = rule[1], about = rule[0].about }
    },
    merge([
      for ports in local.restricted_ports : {
        for cidr in ports.cidrs : "tcp ${ports.port} ${cidr}" => { protocol = "tcp", port = ports.port, cidr = cidr, about = ports.about }
      }
    ]...),
    # Without ICMP, clients behind tunnels do not learn how long packets may be.
    {
      "icmp"   = { protocol = "icmp", port = -1, cidr = "0.0.0.0/0", about = "ICMP" }
      "icmpv6" = { protocol = "icmpv6", port = -1, cidr = "::/0", about = "ICMP" }
    },
  )
}

resource "aws_vpc_security_group_ingress_rule" "main" {
  for_each = local.ingress

  security_group_id = aws_security_group.main.id
  description       = each.value.about
  ip_protocol       = each.value.protocol
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = strcontains(each.value.cidr, ":") ? null : each.value.cidr
  cidr_ipv6         = strcontains(each.value.cidr, ":") ? each.value.cidr : null
}

resource "aws_vpc_security_group_egress_rule" "main" {
  for_each = toset(["0.0.0.0/0", "::/0"])

  security_group_id = aws_security_group.main.id
  ip_protocol       = "-1"
  cidr_ipv4         = strcontains(each.value, ":") ? null : each.value
  cidr_ipv6         = strcontains(each.value, ":") ? each.value : null
}

resource "aws_network_interface" "main" {
  subnet_id          = var.subnet_id
  security_groups    = [aws_security_group.main.id]
  ipv6_address_count = 1
  tags               = local.tags
}

resource "aws_eip" "main" {
  domain = "vpc"
  tags   = local.tags
}

resource "aws_eip_association" "main" {
  allocation_id        = aws_eip.main.id
  network_interface_id = aws_network_interface.main.id
}

# The interface belongs to one instance, so the old one goes before the new one comes.
resource "aws_instance" "main" {
  ami                         = var.ami
  instance_type               = var.instance_type
  key_name                    = var.key_name
  user_data_base64            = base64gzip(var.user_data)
  user_data_replace_on_change = false
  disable_api_termination     = var.protect
  tags                        = local.tags

  network_interface {
    network_interface_id = aws_network_interface.main.id
    device_index         = 0
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted = true
  }

  lifecycle {
    ignore_changes       = [user_data_base64, ami]
    replace_triggered_by = [terraform_data.generation]
  }
}
