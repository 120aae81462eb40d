"""The parts of the rigid-cluster solver, one concept a file, in the order of the work.

    scene: voxel_grid ─► static_test ─► visibility ─► components (height_above_ground)
    candidates ─► registration_queue ─► cluster_registration ─► propagation ─► cluster_motion

    cluster_registration, per cluster: sampling ─► hypothesis_search ─► registration
    (covariance) ─► acceptance ─► observability (split where two bodies touch)

    on a GPU, for all clusters at once: batched_icp ─► steps_ahead ─► registration

``ssl_perception.flow.solvers.rigid_cluster`` runs them; ``range_budget`` keeps its deadline.
"""
