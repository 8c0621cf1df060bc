locals {
  files = concat(
    [
      { path = "/etc/derpfleet/derpfleet.yaml", permissions = "0644", content = var.node.settings_yaml },
      { path = "/etc/derpfleet/regions.yaml", permissions = "0644", content = var.regions_yaml },
      { path = "/usr/local/sbin/install-derpfleet", permissions = "0755", content = file("${path.module}/files/install-derpfleet") },
    ],
    [
      for text in [var.node.unit_drop_in] :
      { path = "/etc/systemd/system/derpfleet.service.d/fleet.conf", permissions = "0644", content = text } if text != null
    ],
    [
      for key in [var.mesh_key] :
      { path = "/etc/derpfleet/mesh.key", permissions = "0600", content = "${trimspace(key)}\n" } if key != null
    ],
    [
      for file in [
        { path = "/usr/local/sbin/fetch-regions", permissions = "0755", content = file("${path.module}/files/fetch-regions") },
        { path = "/etc/systemd/system/derpfleet-regions.service", permissions = "0644", content = local.regions_service },
        { path = "/etc/systemd/system/derpfleet-regions.timer", permissions = "0644", content = local.regions_timer },
      ] : file if var.regions_url != null
    ],
  )

  regions_service = <<-EOT
    [Unit]
    Description=Fetch the regions of the DERP fleet
    Wants=network-online.target
    After=network-online.target

    [Service]
    Type=oneshot
    ExecStart=/usr/local/sbin/fetch-regions ${replace(coalesce(var.regions_url, "-"), "%", "%%")}
  EOT

  regions_timer = <<-EOT
    [Unit]
    Description=Fetch the regions of the DERP fleet every minute

    [Timer]
    OnBootSec=1min
    OnUnitActiveSec=1min
    RandomizedDelaySec=10s

    [Install]
    WantedBy=timers.target
  EOT

  commands = concat(
    [
      ["/usr/local/sbin/install-derpfleet", var.package.url, var.package.sha256],
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "derpfleet.service"],
    ],
    [for unit in ["derpfleet-regions.timer"] : ["systemctl", "enable", "--now", unit] if var.regions_url != null],
  )

  # JSON is YAML, and has no rules for quotes and line ends that a text could break.
  user_data = join("", [
    "#cloud-config\n",
    "# The relay ${var.node.name}, generation ${var.generation}.\n",
    jsonencode(merge(
      {
        package_update = true
        packages       = ["ca-certificates", "curl"]
        write_files    = local.files
        runcmd         = local.commands
      },
      { for name in ["ssh_authorized_keys"] : name => var.ssh_authorized_keys if length(var.ssh_authorized_keys) > 0 },
    )),
    "\n",
  ])
}
