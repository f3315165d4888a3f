using Microsoft.CodeAnalysis;

namespace Millrace.Generators;

/// <summary>A type with [Message].</summary>
/// <param name="Message">The type, as generated code names it.</param>
internal sealed record MessageRegistration(string Message)
{
    public static Read<MessageRegistration> Read(GeneratorAttributeSyntaxContext context, CancellationToken cancellationToken)
    {
        var type = (INamedTypeSymbol)context.TargetSymbol;
        return FindProblem(type) is { } reason
            ? new(null, Problem.With(type, reason, Problem.NoMessage))
            : new(new(type.ToDisplayString(SymbolDisplayFormat.FullyQualifiedFormat)), null);
    }

    private static string? FindProblem(INamedTypeSymbol type)
    {
        if (type.IsStatic || type.IsAbstract)
            return "it is static or abstract: no message can be made of it";
        if (type.IsRefLikeType)
            return "it is a ref struct: it cannot be kept while it is handled";
        return Naming.FindProblem(type);
    }
}
