output "release" {
  description = "The release: its name and namespace."
  value       = { name = helm_release.main.name, namespace = helm_release.main.namespace }
}
