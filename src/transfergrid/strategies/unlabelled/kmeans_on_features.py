"""Clusters of a source's features."""

from transfergrid.strategies.unlabelled.nearest_centres import Clusters


class KmeansOnFeatures(Clusters):
    """k-means on the embeddings of the frozen source.

    As many clusters as there are classes, the best of ten starts. Features are taken as they are:
    those that vary most count most.

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
        starts: draws of first centres, of which the best end is kept.
    """

    also_called = ("deep_clusters", "k_means_on_features")
    badges = ("formula_exact",)
