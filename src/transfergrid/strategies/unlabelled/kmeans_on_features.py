"""Clusters of a source's features."""

from transfergrid.strategies.unlabelled.nearest_centres import Clusters


class KmeansOnFeatures(Clusters):
    """k-means on the embeddings of the frozen source.

    There are as many clusters as classes, and the best of ten starts is kept. Features are not
    scaled: those that vary most count most.

    Formula:
        min over c of sum over x of min_k |f(x) - c_k|^2

    Try it:
        Where nothing is labelled: do a source's features tell the target's classes apart?

    Cost:
        One pass of the source, then seconds.

    Source:
        Caron et al. 2018, Deep clustering for unsupervised learning of visual features, ECCV (arXiv
        1807.05520), whose first half this is; scores: section 4.1

    Args:
        starts: number of random initialisations, of which the best result is kept.
    """

    also_called = ("deep_clusters", "k_means_on_features")
    badges = ("formula_exact",)
