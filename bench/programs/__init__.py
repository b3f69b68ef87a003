"""Small programs that the measures start as processes of their own: floors, clients and the peers' inputs."""
