"""The depth pipeline of a drone in the simulator, with the student that an experiment asks for."""

from __future__ import annotations

from ssl_perception.config import Config, LearnerConfig, TextonsConfig, TrustConfig, preset
from ssl_perception.depth.learning.online import OnlineLearner
from ssl_perception.depth.student.architecture import SIZES
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.student.texton_student import TextonStudent
from ssl_perception.pipeline import DepthPipeline
from ssl_perception_sim.sensors.camera import StereoRig

DRONE = preset("drone")


def learning_pipeline(
    kind: str,
    seed: int,
    learner: LearnerConfig | None = None,
    textons: TextonsConfig | None = None,
    trust: TrustConfig | None = None,
    base: Config = DRONE,
) -> DepthPipeline:
    """Stereo teaches a fresh student, with the settings of the ``drone`` preset.

    Args:
        kind: ``network`` or ``textons``.
        seed: of the student.
        learner, textons, trust: other settings than those of ``base``; None: the same.
        base: all other settings.
    """
    changes = {"learner": learner, "textons": textons, "trust": trust}
    config = base.model_copy(update={k: v for k, v in changes.items() if v is not None})
    if kind == "textons":
        camera = StereoRig().model()
        baseline = TextonStudent(config.textons, seed, camera, config.scan, config.trust.ahead)
        return DepthPipeline(config, baseline, baseline)
    student = StudentInference(config.student)
    size = SIZES[config.student.size]
    learning = OnlineLearner(config.learner, seed, student, architecture=size)
    return DepthPipeline(config, student, learning)


def stereo_pipeline(config: Config = DRONE) -> DepthPipeline:
    """Stereo alone."""
    return DepthPipeline(config)
