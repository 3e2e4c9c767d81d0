"""A linear head on the frozen source, fitted to the source domain: shallow, and not adapted."""

from transfergrid.strategies import Baselines, Needs
from transfergrid.strategies.shallow.frozen import C, Frozen, OnFrozenFeatures, linear_head


class SourceProbe(OnFrozenFeatures):
    """A linear head on frozen features of the source domain, used on the target as it is.

    This is shallow adaptation without the adaptation: all weights are 1, and there is no map.
    Target labels, where there are any, are pooled with the source's.

    Formula:
        c sum_i CE(softmax(W f(x_i) + b), y_i) + |W|^2 / 2, over the source's labelled examples and
        the target's; of numbers half the squared error, which is ridge
    Try it:
        before any other strategy of this family, as the yardstick for them
    Cost:
        a pass of the source over its own domain and a convex problem: seconds; a prediction costs
        what the source's costs
    Source:
        Ben-David et al. 2010, A theory of learning from different domains, Machine Learning 79

    Args:
        c: inverse strength of the penalty, for features divided by the root of their mean squared
            distance from their mean.
    """

    needs = Needs("weights", "optional", 1, "same", steps=False)
    baselines = Baselines("source_and_target", "source_only", ["logistic_probe"])
    space = {"c": C}
    also_called = ("source_logistic_probe", "unadapted_probe")
    badges = ("formula_exact",)

    def adapt(self, seen: Frozen) -> None:
        self.put(*linear_head(self.task, seen.pooled(), seen.pooled_labels, self.c))
