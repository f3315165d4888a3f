namespace System.Runtime.CompilerServices;

/// <summary>Records need it, and netstandard2.0, where generators live, has none.</summary>
internal static class IsExternalInit;
