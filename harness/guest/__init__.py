"""A booted kernel that offers a Docker endpoint on a loopback port."""
