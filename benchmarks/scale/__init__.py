"""Sizing on paper: what measured times say of archives and services with a thousand workers."""
