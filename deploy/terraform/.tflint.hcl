plugin "terraform" {
  enabled = true
  preset  = "all"
}

# The parts of a module are files by what they are about.
rule "terraform_standard_module_structure" {
  enabled = false
}
