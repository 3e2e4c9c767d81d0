"""Cutting a backbone before any of its blocks.

The forward pass is traced once. Every node of the trace has a *level*: the highest number of a
block among its inputs and its own parameters. A cut before block k copies the nodes below level k
into one graph and the others into another. Both call the backbone's own modules, so parameters are
shared.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from transfergrid.records.errors import BadInputError, first_line
from transfergrid.sources.backbone import Backbone, Block, Change, evaluating
from transfergrid.sources.backbones.layout import is_channels_last, quickest

BEFORE_ALL = -1
"""Level of the input: it lies before block 0."""


@dataclass(frozen=True)
class Trace:
    """A backbone's forward pass, node by node."""

    graph: fx.Graph
    n_blocks: int
    levels: dict[fx.Node, int]
    tensors: set[fx.Node]
    """Nodes whose value is one tensor."""
    carriers: set[fx.Node]
    """Nodes whose value depends on the input's contents. All others (shapes, parameters, and
    values computed from these) are computed on both sides of a cut, because the rows of all
    tensors of a boundary must be examples."""
    overwritten: set[fx.Node]
    """Nodes whose tensor a later node changes in place."""
    channels_last: set[fx.Node]
    """Nodes whose tensor is in channels-last memory format, which a cache on disk does not keep."""


def trace(backbone: Backbone, blocks: list[Block]) -> Trace:
    """Trace a backbone, and run it once to see which kind of value each node has.

    Raises:
        BadInputError: its forward pass cannot be traced.
    """
    block_of = {name: i for i, b in enumerate(blocks) for name in (*b.parameters, *b.buffers)}
    graph = _graph(backbone, block_of)
    values = _Values(backbone, graph)
    try:
        with evaluating(backbone), torch.inference_mode(False), torch.no_grad():
            values.run(backbone.example())
    except Exception as error:  # a module may change a list that is passed to it
        raise _uncut(backbone, error) from error
    levels: dict[fx.Node, int] = {}
    for node in graph.nodes:
        below = [levels[n] for n in node.all_input_nodes]
        levels[node] = max([*below, _own_level(backbone, node, block_of)])
    tensors = {node for node, value in values.seen.items() if isinstance(value, Tensor)}
    carriers, overwritten = _carriers(values), values.overwritten()
    layout = {node for node in tensors if is_channels_last(values.seen[node])}
    return Trace(graph, len(blocks), levels, tensors, carriers, overwritten, layout)


def prefix(root: Backbone, trace: Trace, k: int) -> fx.GraphModule:
    """Return the part before block `k`; its output is a tuple of tensors."""
    boundary = _boundary(trace, k)
    inputs = {node for node in trace.graph.nodes if node.op == "placeholder"}
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    _copy(trace, _ancestors(boundary) | inputs, graph, copies)
    graph.output(tuple(copies[node] for node in boundary))
    return _module(root, graph, "Prefix")


def suffix(root: Backbone, trace: Trace, k: int) -> fx.GraphModule:
    """Return the part from block `k` on; its only argument is the boundary, a tuple."""
    boundary = _boundary(trace, k)
    graph = fx.Graph()
    given = graph.placeholder("boundary")
    copies = {n: graph.call_function(_item, (given, i)) for i, n in enumerate(boundary)}
    for node in boundary:
        if node in trace.channels_last:
            copies[node] = graph.call_function(quickest, (copies[node],))
        if node in trace.overwritten:  # a cached boundary must stay as it is
            copies[node] = graph.call_method("clone", (copies[node],))
    result = _result(trace)
    _copy(trace, _ancestors([result], stop=set(boundary)) - set(boundary), graph, copies)
    graph.output(copies[result])
    return _module(root, graph, "Suffix")


def whole(root: Backbone, trace: Trace) -> fx.GraphModule:
    """Return the whole forward pass as a module that returns the boundaries of all cuts from 1."""
    cuts = [_boundary(trace, k) for k in range(1, trace.n_blocks)]
    wanted = {node for cut in cuts for node in cut}
    result = _result(trace)
    graph, copies, told = fx.Graph(), dict[fx.Node, fx.Node](), dict[fx.Node, fx.Node]()
    for node in trace.graph.nodes:
        if node.op != "output":
            copies[node] = told[node] = graph.node_copy(node, lambda n: copies[n])
        if node in wanted & trace.overwritten:  # its value before the change in place
            told[node] = graph.call_method("clone", (copies[node],))
    graph.output([*(tuple(told[node] for node in cut) for cut in cuts), (copies[result],)])
    return _module(root, graph, "Whole")


def steered(root: Backbone, trace: Trace) -> fx.GraphModule:
    """Return the whole forward pass, of inputs and a function that changes hidden states.

    The function changes the hidden state at each cut, the first tensor that crosses it. All other
    tensors that cross the cut are unchanged, and nodes before the cut see the hidden state
    unchanged.
    """
    entering = {k: _boundary(trace, k)[0] for k in range(1, trace.n_blocks)}
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    changed: dict[fx.Node, dict[int, fx.Node]] = {node: {} for node in entering.values()}
    given: list[fx.Node] = []
    result = _result(trace)

    def seen(node: fx.Node, level: int) -> fx.Node:
        made = [copy for k, copy in changed.get(node, {}).items() if k <= level]
        return made[-1] if made else copies[node]

    for node in (node for node in trace.graph.nodes if node.op != "output"):
        copies[node] = graph.node_copy(node, partial(seen, level=trace.levels[node]))
        if node.op == "placeholder":
            given.append(graph.placeholder("change"))
        for k in (k for k, hidden in entering.items() if hidden is node):
            changed[node][k] = graph.call_function(_changed, (given[0], k, seen(node, k)))
    graph.output(seen(result, trace.n_blocks))
    return _module(root, graph, "Steered")


def _changed(change: Change, k: int, hidden: Tensor) -> Tensor:
    return change(k, hidden)


def _item(boundary: tuple[Tensor, ...], i: int) -> Tensor:
    return boundary[i]


def _module(root: Backbone, graph: fx.Graph, name: str) -> fx.GraphModule:
    graph.lint()
    module = fx.GraphModule(root, graph, class_name=name)
    module.training = root.training
    return module


def _result(trace: Trace) -> fx.Node:
    (output,) = (node for node in trace.graph.nodes if node.op == "output")
    result = output.args[0]
    assert isinstance(result, fx.Node)
    return result


def _boundary(trace: Trace, k: int) -> list[fx.Node]:
    """Return the nodes before block `k` whose tensors are used from block `k` on, in graph order.

    Raises:
        BadInputError: there is no such block, or lists of tensors would cross the cut.
    """
    if not 0 <= k <= trace.n_blocks:
        raise BadInputError(f"cannot cut before block {k}: there are {trace.n_blocks}")
    before = {node for node in trace.carriers if trace.levels[node] < k}
    met = _ancestors([_result(trace)], stop=before) & before
    if not met <= trace.tensors:
        raise BadInputError(f"cannot cut before block {k}: lists of tensors cross that line")
    return [node for node in trace.graph.nodes if node in met]


def _ancestors(nodes: Iterable[fx.Node], stop: set[fx.Node] | None = None) -> set[fx.Node]:
    """Return these nodes and all nodes that they depend on, without going beyond `stop`."""
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            if stop is None or node not in stop:
                waiting.extend(node.all_input_nodes)
    return found


def _copy(
    trace: Trace, nodes: set[fx.Node], graph: fx.Graph, copies: dict[fx.Node, fx.Node]
) -> None:
    for node in trace.graph.nodes:
        if node in nodes:
            copies[node] = graph.node_copy(node, lambda n: copies[n])


class _Tracer(fx.Tracer):
    """Keeps a module as one call if it lies within one block, or if timm cannot trace it."""

    def __init__(self, block_of: dict[str, int], whole_blocks: bool) -> None:
        from timm.layers import get_notrace_functions, get_notrace_modules

        functions = [f for f in get_notrace_functions() if isinstance(f, types.FunctionType)]
        super().__init__(autowrap_functions=tuple(functions))
        self.untraced = tuple(get_notrace_modules())
        self.block_of = block_of
        self.whole_blocks = whole_blocks

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, self.untraced) or super().is_leaf_module(m, module_qualified_name):
            return True
        # A module that is one call keeps its behaviour in train and eval mode and its control flow.
        return self.whole_blocks and len(_blocks_in(m, module_qualified_name, self.block_of)) <= 1


def _blocks_in(module: nn.Module, path: str, block_of: dict[str, int]) -> set[int]:
    names = [name for name, _ in module.named_parameters(path, remove_duplicate=False)]
    names += [name for name, _ in module.named_buffers(path, remove_duplicate=False)]
    return {block_of[name] for name in names if name in block_of}


def _own_level(backbone: Backbone, node: fx.Node, block_of: dict[str, int]) -> int:
    if node.op == "placeholder":
        return BEFORE_ALL
    if node.op == "get_attr":
        return block_of.get(str(node.target), BEFORE_ALL)
    if node.op == "call_module":
        path = str(node.target)
        return max(_blocks_in(backbone.get_submodule(path), path, block_of), default=0)
    return 0


def _graph(backbone: Backbone, block_of: dict[str, int]) -> fx.Graph:
    """Trace with whole blocks as leaves; if that fails, with the smallest modules as leaves.

    It fails, for example, where the model takes a block's output apart.
    """
    try:
        return _graph_of_both_modes(backbone, _Tracer(block_of, whole_blocks=True))
    except BadInputError:
        raise
    except Exception:  # the model's own code may raise anything on a proxy
        try:
            return _graph_of_both_modes(backbone, _Tracer(block_of, whole_blocks=False))
        except Exception as error:
            raise _uncut(backbone, error) from error


def _uncut(backbone: Backbone, error: Exception) -> BadInputError:
    return BadInputError(f"{backbone.architecture} cannot be cut: {first_line(error)}")


def _graph_of_both_modes(backbone: Backbone, tracer: _Tracer) -> fx.Graph:
    """Trace in eval mode, and raise unless the trace in train mode is the same."""
    with evaluating(backbone, training=True):
        training = str(tracer.trace(backbone))
    with evaluating(backbone):
        graph = tracer.trace(backbone)
    if str(graph) != training:
        raise BadInputError(
            f"{backbone.architecture} cannot be cut: outside of its blocks it does in training "
            "what it does not in evaluation (drop_rate?)"
        )
    return graph


class _Values(fx.Interpreter):
    """Runs a graph and keeps every node's value, and the version counter of tensors."""

    def __init__(self, backbone: Backbone, graph: fx.Graph) -> None:
        whole = fx.GraphModule(backbone, graph)
        super().__init__(whole, garbage_collect_values=False)
        self.seen: dict[fx.Node, Any] = {}
        self.versions: dict[fx.Node, int] = {}
        self.original = dict(zip(whole.graph.nodes, graph.nodes, strict=True))

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.seen[self.original[n]] = value
        if isinstance(value, Tensor):
            self.versions[self.original[n]] = value._version
        return value

    def overwritten(self) -> set[fx.Node]:
        return {n for n, version in self.versions.items() if self.seen[n]._version != version}


def _carriers(values: _Values) -> set[fx.Node]:
    carriers: set[fx.Node] = set()
    for node, value in values.seen.items():
        inherits = node.op == "placeholder" or any(n in carriers for n in node.all_input_nodes)
        if inherits and _holds_tensor(value):
            carriers.add(node)
    return carriers


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_tensor(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_tensor(item) for item in value)
    return isinstance(value, Tensor)
