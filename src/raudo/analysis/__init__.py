"""Documents: near-duplicates, the most similar of each, and a cache of what was learned of them.

documents -> words (hashed, counted) -> vectors -> near-duplicates, similar -> AnalysisReport
"""

from raudo.analysis.analyzer import DocumentAnalyzer
from raudo.analysis.documents import Document
from raudo.analysis.report import AnalysisReport, Group, Similar
from raudo.analysis.sources import FileSource
from raudo.analysis.stages import Stage

__all__ = [
    "DocumentAnalyzer",
    "AnalysisReport",
    "Document",
    "FileSource",
    "Group",
    "Similar",
    "Stage",
]
