"""A real Kubernetes cluster for the lab: one node, real pods, thrown away afterwards.

cluster = Cluster("shop").up()
...  KUBECONFIG=<cluster.kubeconfig> ansible-playbook ...; images to run: images.PYTHON, images.APP
cluster.down()
"""

from .build import unavailable
from .cluster import Cluster

__all__ = ["Cluster", "unavailable"]
