using System.Collections.Immutable;
using Microsoft.CodeAnalysis;

namespace Millrace.Generators;

/// <summary>
/// Writes <c>AddConsumers</c>: one call of the builder for every [Message] type and every [StreamConsumer] method of the project, so that
/// nothing is found by reflection. Every value that passes between the steps is compared by content, which keeps typing in an editor cheap.
/// </summary>
[Generator(LanguageNames.CSharp)]
public sealed class RegistrationGenerator : IIncrementalGenerator
{
    /// <summary>Names of the steps, for the test that proves their caching.</summary>
    internal const string ConsumersStep = "Consumers", MessagesStep = "Messages";

    /// <inheritdoc/>
    public void Initialize(IncrementalGeneratorInitializationContext context)
    {
        context.RegisterPostInitializationOutput(static output => output.AddEmbeddedAttributeDefinition());

        var consumers = context.SyntaxProvider
            .ForAttributeWithMetadataName("Millrace.StreamConsumerAttribute", static (_, _) => true, ConsumerRegistration.Read)
            .WithTrackingName(ConsumersStep)
            .Collect();
        var messages = context.SyntaxProvider
            .ForAttributeWithMetadataName("Millrace.MessageAttribute", static (_, _) => true, MessageRegistration.Read)
            .WithTrackingName(MessagesStep)
            .Collect();
        // The method is written even when there is nothing to register, so that a call of it compiles from the first minute.
        var isReferenced = context.CompilationProvider
            .Select(static (compilation, _) => compilation.GetTypeByMetadataName("Millrace.MillraceBuilder") is not null);

        context.RegisterSourceOutput(consumers.Combine(messages).Combine(isReferenced), static (output, found) =>
        {
            var ((consumers, messages), isReferenced) = found;
            foreach (var problem in consumers.Select(consumer => consumer.Problem).Concat(messages.Select(message => message.Problem)))
            {
                if (problem is not null)
                    output.ReportDiagnostic(problem.ToDiagnostic());
            }

            if (isReferenced)
                output.AddSource("MillraceGeneratedConsumers.g.cs", RegistrationSource.Write(Good(messages), Good(consumers)));
        });
    }

    private static IEnumerable<T> Good<T>(ImmutableArray<Read<T>> registrations)
        where T : class =>
        registrations.Select(read => read.Registration).OfType<T>();
}
