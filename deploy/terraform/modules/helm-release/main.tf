resource "helm_release" "main" {
  name             = var.name
  namespace        = var.namespace
  create_namespace = true
  chart            = var.chart
  version          = var.chart_version
  timeout          = var.timeout
  wait             = true
  # Later texts win. The file is YAML, and so are values.
  values = [
    yamlencode(var.values),
    var.regions_yaml,
    yamlencode({ region = var.region }),
  ]
}
