using Microsoft.CodeAnalysis;

namespace Millrace.Generators;

/// <summary>Whether generated code, in a class and a file of its own, can name a type.</summary>
internal static class Naming
{
    /// <summary>Why it cannot, to follow "because", or <see langword="null"/>.</summary>
    public static string? FindProblem(ITypeSymbol type)
    {
        for (var outer = type as INamedTypeSymbol; outer is not null; outer = outer.ContainingType)
        {
            var name = outer.ToDisplayString(SymbolDisplayFormat.CSharpShortErrorMessageFormat);
            if (outer.TypeParameters.Length > 0 && outer.TypeArguments.Any(argument => argument is ITypeParameterSymbol))
                return $"'{name}' is generic";
            if (outer.IsFileLocal)
                return $"'{name}' is local to its file";
            if (!IsVisible(outer.DeclaredAccessibility))
                return $"'{name}' is not public or internal";
        }

        return null;
    }

    /// <summary>Whether the rest of the assembly sees it.</summary>
    public static bool IsVisible(Accessibility accessibility) =>
        accessibility is Accessibility.Public or Accessibility.Internal or Accessibility.ProtectedOrInternal;
}
