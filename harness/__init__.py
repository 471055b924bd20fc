"""Evaluation of conversational recommender systems: what a plugin author imports."""

from harness.api import (
    AnnotatedDialogue,
    AnnotatedMessage,
    ArtifactFolder,
    Catalogue,
    Ceiling,
    Component,
    Conversation,
    DatasetCard,
    Feedback,
    HumanLabels,
    Item,
    Knowledge,
    Message,
    MetricSetup,
    Need,
    Recommendation,
    RecommenderSetup,
    RemoteFile,
    RunView,
    Scenario,
    SimulatorSetup,
    Split,
    Statement,
    TrainerSetup,
    TrainingDialogue,
    TurnView,
    Unscored,
    Usage,
)
from harness.api import DialogueView as DialogueView
from harness.errors import BudgetExceeded, DataError, TransportError
from harness.hookspecs import hookimpl

__version__ = "0.1.0"

__all__ = [
    "AnnotatedDialogue", "AnnotatedMessage", "ArtifactFolder", "BudgetExceeded", "Catalogue", "Ceiling", "Component",
    "Conversation", "DataError", "DatasetCard", "DialogueView", "Feedback", "HumanLabels", "Item", "Knowledge", "Message",
    "MetricSetup", "Need", "Recommendation", "RecommenderSetup", "RemoteFile", "RunView", "Scenario", "SimulatorSetup",
    "Split", "Statement", "TrainerSetup", "TrainingDialogue", "TransportError", "TurnView", "Unscored", "Usage", "hookimpl",
]  # fmt: skip
