"""Operators on quantised numbers: whole numbers that stand for (number - zero point) * scale."""

from .convolution import QLINEAR_CONV
from .dynamic import DYNAMIC_QUANTIZE, DYNAMIC_QUANTIZE_MATMUL
from .elementwise import ADD, MUL
from .integer_products import CONV_INTEGER, MATMUL_INTEGER
from .linear import QUANTIZE, dequantize
from .lookups import CONCAT, LEAKY_RELU, SIGMOID, WHERE
from .nbits import MATMUL_NBITS
from .pools import AVERAGE, GLOBAL_AVERAGE, nhwc_max_pool
from .products import MATMUL_INTEGER_TO_FLOAT, QGEMM, QLINEAR_MATMUL
from .softmax import SOFTMAX

__all__ = [
    "ADD",
    "AVERAGE",
    "CONCAT",
    "CONV_INTEGER",
    "DYNAMIC_QUANTIZE",
    "DYNAMIC_QUANTIZE_MATMUL",
    "GLOBAL_AVERAGE",
    "LEAKY_RELU",
    "MATMUL_INTEGER",
    "MATMUL_INTEGER_TO_FLOAT",
    "MATMUL_NBITS",
    "MUL",
    "QGEMM",
    "QLINEAR_CONV",
    "QLINEAR_MATMUL",
    "QUANTIZE",
    "SIGMOID",
    "SOFTMAX",
    "WHERE",
    "dequantize",
    "nhwc_max_pool",
]
