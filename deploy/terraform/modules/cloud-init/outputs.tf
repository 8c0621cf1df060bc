output "user_data" {
  description = "Cloud-init's user data."
  value       = local.user_data
  sensitive   = true
}

output "generation" {
  description = "Hosts are replaced when it changes."
  value       = var.generation
}
