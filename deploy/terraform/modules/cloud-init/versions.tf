# The user data of one host: installs a pinned release by its checksum, writes the relay's settings, and starts it. No provider.

terraform {
  required_version = ">= 1.6"
}
