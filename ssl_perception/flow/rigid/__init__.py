"""What the rigid-cluster solver is made of, one concept a file, in the order of the work.

    voxel_grid ─► static_test ─► visibility ─► components ─► hypothesis_search
               ─► registration ─► acceptance ─► propagation

``ssl_perception.flow.solvers.rigid_cluster`` puts them together.
"""
