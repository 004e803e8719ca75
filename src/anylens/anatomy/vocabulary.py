"""What kinds of torch functions there are, and what a path through one costs.

The names are those a `TorchFunctionMode` shows, without the marks of in-place and reflected forms.
"""

from collections.abc import Callable
from typing import Any

ADDS = frozenset({"add"})

VIEWS = frozenset(
    """view view_as reshape reshape_as transpose permute flatten unflatten squeeze unsqueeze expand expand_as
    T mT H mH swapaxes swapdims movedim moveaxis chunk split tensor_split unbind narrow select getitem roll
    unfold as_strided ravel repeat repeat_interleave tile broadcast_to flip atleast_1d atleast_2d atleast_3d
    split_with_sizes hsplit vsplit dsplit squeeze_copy real imag view_as_real view_as_complex""".split()
)

# Give back the same numbers, often the same tensor: transparent wherever a value is followed.
SAME = frozenset(
    """to type type_as float half bfloat16 double cpu cuda contiguous clone detach alias requires_grad_ data
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout identity positive
    requires_grad retain_grad lift_fresh lift_fresh_copy""".split()
)

NORMS = frozenset(
    "layer_norm native_layer_norm group_norm batch_norm rms_norm instance_norm local_response_norm normalize".split()
)

ACTIVATIONS = frozenset(
    """relu relu6 gelu silu sigmoid tanh elu selu celu leaky_relu prelu rrelu softplus softsign mish hardswish
    hardsigmoid hardtanh logsigmoid tanhshrink softshrink hardshrink threshold glu erf square sin""".split()
)

ELEMENTWISE = ACTIVATIONS | frozenset(
    """mul div truediv sub rsub neg pow exp log sqrt rsqrt reciprocal abs sign clamp clamp_min clamp_max
    minimum maximum where masked_fill cos log1p expm1 lerp addcmul addcdiv nan_to_num floor ceil round
    square floor_divide remainder xor and or invert logical_and logical_or logical_not""".split()
)

CONCATENATIONS = frozenset("cat stack concat concatenate hstack vstack".split())

JOINS = CONCATENATIONS | frozenset("pad constant_pad_nd setitem index_select".split())

REDUCTIONS = frozenset("mean sum var std var_mean std_mean amax amin norm vector_norm max min prod".split())

CONVOLUTIONS = frozenset(
    "conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d _convolution".split()
)

MAPS = CONVOLUTIONS | frozenset({"linear", "addmm", "bilinear"})

PRODUCTS = frozenset("matmul mm bmm baddbmm einsum mv dot tensordot addbmm addmv".split())

ATTENTION = frozenset({"scaled_dot_product_attention"})

RECURRENT = frozenset("lstm gru rnn_tanh rnn_relu".split())

HEAVY = MAPS | PRODUCTS | ATTENTION | RECURRENT | frozenset({"embedding", "embedding_bag"})

CHEAP_LIMIT = 50.0  # a path that costs more passes a linear map: not a residual stream

_COSTS: tuple[tuple[frozenset[str], float], ...] = (
    (ADDS, 0.0),
    (VIEWS, 0.0),
    (SAME, 0.0),
    (ELEMENTWISE, 1.0),
    (JOINS, 1.0),
    (NORMS, 3.0),
    (REDUCTIONS, 8.0),
    (HEAVY, 100.0),
)
_COST_OF = {name: cost for names, cost in reversed(_COSTS) for name in names}
UNKNOWN_COST = 20.0

_REFLECTED = {
    f"__{mark}{name}__": name for mark in "ir" for name in ("add", "mul", "truediv", "matmul", "pow")
}
_REFLECTED |= {"__isub__": "sub", "__rsub__": "rsub", "__rand__": "and", "__iand__": "and", "__ior__": "or"}
_ALIASES = {"truediv": "div", "true_divide": "div", "divide": "div", "multiply": "mul", "subtract": "sub"}


def cost(function: str) -> float:
    """What it costs a path to pass a function: adds and views nothing, linear maps much."""
    return _COST_OF.get(function, UNKNOWN_COST)


def function_name(function: Callable[..., Any]) -> str:
    """Return a torch function's plain name: `add` for `torch.add`, `Tensor.add_`, `__add__`, `__iadd__`."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":  # a property, such as Tensor.T
        name = getattr(getattr(function, "__self__", None), "__name__", "get")
    name = _REFLECTED.get(name, name)
    if name.startswith("__") and name.endswith("__"):
        name = name.strip("_")
    name = name.rstrip("_") or name
    return _ALIASES.get(name, name)


# Say something about a tensor without computing one: too frequent to look at, nothing to see.
SILENT = frozenset(
    """shape size dim device dtype layout is_cuda requires_grad grad grad_fn is_leaf ndim numel nelement stride
    is_contiguous is_floating_point is_complex data_ptr get_device item tolist len bool element_size storage_offset
    is_sparse is_quantized is_meta is_mps is_nested is_inference is_xpu names _version _base name format iter hash
    untyped_storage""".split()
)
