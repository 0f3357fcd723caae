"""Scores of detections against ground truth, by pycocotools."""

from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.evaluation.proposal_eval import ProposalEvaluator
from keras_fair.evaluation.scoring import METRICS, format_report

__all__ = ["METRICS", "CocoEvaluator", "ProposalEvaluator", "format_report"]
