"""Vectors of prompts, made without a network: a stand-in for a model that embeds texts.

TF-IDF over the words of a pool, brought to 128 dimensions by its singular vectors (latent semantic
analysis). Fitted on all prompts of the pool, whatever window they will be in, so unchanged windows
stay exchangeable. A trained model would know more of topics, and less of these texts.
"""

from pathlib import Path
from typing import Final

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.drift_pools import Pool, cached
from exporters.mean_discrepancy import VectorArray

DIMENSIONS: Final = 128
SEED: Final = 0


def vectors_of(pool: Pool, scratch: Path) -> VectorArray:
    """Return a vector of length 1 for the prompt of each row."""
    return cached(f"vectors-{pool.name}", scratch, lambda: _embed(pool))


def _embed(pool: Pool) -> VectorArray:
    prompts = [call.understood.messages[-1].text for call in pool.calls]
    weights = TfidfVectorizer(sublinear_tf=True, min_df=3).fit_transform(prompts)
    vectors = TruncatedSVD(DIMENSIONS, random_state=SEED).fit_transform(weights)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: VectorArray = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit
