"""Domain types and the five component protocols: everything that a plugin and the core say to each other.

Only the standard library and msgspec are imported here, and nothing does I/O. All types are immutable; ids are strings.
"""

from __future__ import annotations

from harness.api.answers import Feedback, Knowledge, Recommendation, Statement, Unscored, Usage
from harness.api.components import (
    ArtifactFolder,
    Component,
    Dataset,
    DatasetCard,
    Metric,
    Recommender,
    RemoteFile,
    Simulator,
    Trainer,
)
from harness.api.records import AttemptRecord, DialogueRecord, TurnRecord
from harness.api.setups import MetricSetup, RecommenderSetup, SimulatorSetup, TrainerSetup, TrainingProgress
from harness.api.talk import (
    API_VERSION,
    PROTOCOL_VERSION,
    Action,
    AnnotatedDialogue,
    AnnotatedMessage,
    Attributes,
    Catalogue,
    Ceiling,
    Conversation,
    HumanLabels,
    Item,
    KnowledgeLevel,
    Message,
    Need,
    Role,
    Scenario,
    Split,
    StopReason,
    TrainingDialogue,
)
from harness.api.views import DialogueView, RunView, TurnView

__all__ = [
    "API_VERSION",
    "PROTOCOL_VERSION",
    "Action",
    "AnnotatedDialogue",
    "AnnotatedMessage",
    "ArtifactFolder",
    "AttemptRecord",
    "Attributes",
    "Catalogue",
    "Ceiling",
    "Component",
    "Conversation",
    "Dataset",
    "DatasetCard",
    "DialogueRecord",
    "DialogueView",
    "Feedback",
    "HumanLabels",
    "Item",
    "Knowledge",
    "KnowledgeLevel",
    "Message",
    "Metric",
    "MetricSetup",
    "Need",
    "Recommendation",
    "Recommender",
    "RecommenderSetup",
    "RemoteFile",
    "Role",
    "RunView",
    "Scenario",
    "Simulator",
    "SimulatorSetup",
    "Split",
    "Statement",
    "StopReason",
    "Trainer",
    "TrainerSetup",
    "TrainingDialogue",
    "TrainingProgress",
    "TurnRecord",
    "TurnView",
    "Unscored",
    "Usage",
]
