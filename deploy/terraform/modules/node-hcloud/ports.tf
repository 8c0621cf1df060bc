locals {
  # What clients need from everywhere; nothing else is open but what networks are named for.
  public_ports = concat(
    [
      { protocol = "tcp", port = var.node.derp_port, about = "DERP" },
      { protocol = "tcp", port = 80, about = "captive-portal checks and ACME" },
    ],
    [for port in [var.node.stun_port] : { protocol = "udp", port = port, about = "STUN" } if port != null],
  )
  restricted_ports = concat(
    [for port in [9090] : { port = port, cidrs = var.metrics_cidrs, about = "metrics" } if length(var.metrics_cidrs) > 0],
    [for port in [22] : { port = port, cidrs = var.ssh_cidrs, about = "SSH" } if length(var.ssh_cidrs) > 0],
  )
}

# ignore_changes keeps a host that has other user data; this replaces it.
resource "terraform_data" "generation" {
  input = var.generation
}
